//! Extraction of the descriptor from the output of a TorchScript module.

use tch::{IValue, Kind, TchError, Tensor};

use super::{ModuleOutput, Pooling};

/// Part of the error message for an output with a number of rows that differs from the number of tiles.
pub(crate) const NOT_A_ROW_A_TILE: &str = "not one row per tile";

impl ModuleOutput {
    /// Extracts descriptors `[tiles, D]` from the module's output for this number of tiles.
    ///
    /// # Errors
    /// An error with the kind or shape of the output and the setting to use, if the output is not a
    /// descriptor; errors of libtorch.
    pub fn of(&self, answer: IValue, tiles: i64) -> Result<Tensor, TchError> {
        let tensor = self.select(answer)?;
        let shape = tensor.size();
        if !matches!(tensor.f_kind()?, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double) {
            return Err(unfit(format!(
                "it returns whole numbers ({:?}), not a descriptor",
                tensor.f_kind()?
            )));
        }
        if shape.is_empty() {
            return Err(unfit("it returns one number, not one row of numbers per tile".to_owned()));
        }
        if shape[0] != tiles {
            return Err(unfit(format!(
                "it returns the shape {shape:?} for {tiles} tiles, {NOT_A_ROW_A_TILE}; export it with a batch size \
                 that may vary"
            )));
        }
        match (&shape[..], self.output) {
            ([_, _], None) => Ok(tensor),
            // Some networks return the pooled feature map with its extent of 1 × 1.
            ([_, _, 1, 1], None) => tensor.f_flatten(1, 3),
            ([_, tokens, _], Some(pooling)) if *tokens > 0 => self.pool_tokens(&tensor, *tokens, pooling),
            ([_, _, _, _], Some(Pooling::AveragePool)) => {
                tensor.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)
            }
            ([_, _, _], None) => Err(unfit(format!(
                "it returns tokens {shape:?}, not one descriptor per tile; set output = \"cls\" (the first token) or \
                 \"mean-tokens\" in the settings beside it, or export it with the pooling"
            ))),
            ([_, _, _, _], None) => Err(unfit(format!(
                "it returns a feature map {shape:?}, not one descriptor per tile; set output = \"average-pool\" in the \
                 settings beside it, or export it with the pooling"
            ))),
            (_, Some(_)) => Err(unfit(format!(
                "it returns the shape {shape:?}, to which the setting output does not apply"
            ))),
            _ => Err(unfit(format!("it returns the shape {shape:?}; expected [tiles, numbers]"))),
        }
    }

    fn pool_tokens(&self, tensor: &Tensor, tokens: i64, pooling: Pooling) -> Result<Tensor, TchError> {
        let mean = |skipped: i64| {
            if skipped < 0 || skipped >= tokens {
                return Err(unfit(format!(
                    "it returns {tokens} tokens, of which {skipped} cannot be left out"
                )));
            }
            let rest = tensor.f_narrow(1, skipped, tokens - skipped)?;
            rest.f_mean_dim([1i64].as_slice(), false, Kind::Float)
        };
        let first = || tensor.f_select(1, 0)?.f_to_kind(Kind::Float);
        match pooling {
            Pooling::Cls => first(),
            Pooling::MeanTokens => mean(self.skip_tokens.unwrap_or(0)),
            Pooling::ClsAndMeanTokens => Tensor::f_cat(&[first()?, mean(self.skip_tokens.unwrap_or(1))?], 1),
            Pooling::AveragePool => Err(unfit(format!(
                "it returns tokens {:?}, not a feature map; set output = \"cls\" or \"mean-tokens\"",
                tensor.size()
            ))),
        }
    }

    /// Returns the tensor that the settings name.
    fn select(&self, answer: IValue) -> Result<Tensor, TchError> {
        match (answer, &self.key, self.index) {
            (IValue::Tensor(tensor), None, None) => Ok(tensor),
            (IValue::Tensor(_), ..) => {
                Err(unfit("it returns one tensor, so that key and index do not apply".to_owned()))
            }
            (IValue::GenericDict(entries), Some(key), _) => {
                let keys = keys_of(&entries);
                let is_named =
                    |(name, _): &(IValue, IValue)| matches!(name, IValue::String(name) if name == key);
                let value = entries.into_iter().find(is_named).map(|(_, value)| value);
                let value = value
                    .ok_or_else(|| unfit(format!("it returns a dictionary of {keys}, without {key:?}")))?;
                Self { key: None, ..self.clone() }.select(value)
            }
            (IValue::GenericDict(entries), None, _) => Err(unfit(format!(
                "it returns a dictionary of {}, not one tensor; set key to one of them in the settings beside it, or \
                 export a module that returns that tensor alone",
                keys_of(&entries)
            ))),
            (IValue::Tuple(values) | IValue::GenericList(values), key, Some(index)) => {
                let count = values.len();
                let value = values.into_iter().nth(index);
                let value = value
                    .ok_or_else(|| unfit(format!("it returns {count} values, none at index {index}")))?;
                Self { key: key.clone(), index: None, ..self.clone() }.select(value)
            }
            (IValue::TensorList(mut values), _, Some(index)) if index < values.len() => {
                Ok(values.swap_remove(index))
            }
            (IValue::TensorList(values), _, Some(index)) => {
                Err(unfit(format!("it returns {} values, none at index {index}", values.len())))
            }
            (other, ..) => {
                let (kind, count) = kind_of(&other);
                let Some(count) = count else {
                    return Err(unfit(format!("it returns {kind}, not one tensor [tiles, numbers]")));
                };
                Err(unfit(format!(
                    "it returns {kind} of {count}, not one tensor; set index (0 to {}) in the settings beside it, or \
                     export a module that returns that tensor alone",
                    count.saturating_sub(1)
                )))
            }
        }
    }
}

fn unfit(reason: String) -> TchError {
    TchError::Convert(reason)
}

fn keys_of(entries: &[(IValue, IValue)]) -> String {
    let key = |(key, _): &(IValue, IValue)| match key {
        IValue::String(text) => format!("{text:?}"),
        other => format!("{other:?}"),
    };
    entries.iter().take(8).map(key).collect::<Vec<_>>().join(", ")
}

/// Returns the kind of an output and, for a collection, its number of values.
fn kind_of(value: &IValue) -> (&'static str, Option<usize>) {
    match value {
        IValue::Tuple(values) => ("a tuple", Some(values.len())),
        IValue::GenericList(values) => ("a list", Some(values.len())),
        IValue::TensorList(values) => ("a list", Some(values.len())),
        IValue::None => ("nothing", None),
        IValue::Double(_) | IValue::Int(_) | IValue::Bool(_) => ("one number", None),
        _ => ("something else", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn tensor(shape: &[i64]) -> Tensor {
        Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).reshape(shape)
    }

    fn answer(shape: &[i64]) -> IValue {
        IValue::Tensor(tensor(shape))
    }

    fn settings(text: &str) -> ModuleOutput {
        toml::from_str(text).unwrap()
    }

    fn refusal(settings: &ModuleOutput, answer: IValue) -> String {
        settings.of(answer, 2).unwrap_err().to_string()
    }

    #[test]
    fn only_rows_of_numbers_are_descriptors() {
        let plain = ModuleOutput::default();
        assert_eq!(plain.of(answer(&[2, 5]), 2).unwrap().size(), [2, 5]);
        assert_eq!(plain.of(answer(&[2, 5, 1, 1]), 2).unwrap().size(), [2, 5]);
        assert!(refusal(&plain, answer(&[2, 197, 8])).contains("\"cls\""));
        assert!(refusal(&plain, answer(&[2, 8, 7, 7])).contains("\"average-pool\""));
        assert!(refusal(&plain, answer(&[1, 10])).contains("batch size"));
        assert!(refusal(&plain, answer(&[])).contains("one number"));
        assert!(refusal(&plain, answer(&[10])).contains("for 2 tiles"));
        assert!(
            refusal(&plain, IValue::Tensor(tensor(&[2, 5]).to_kind(Kind::Int64))).contains("whole numbers")
        );
        assert!(refusal(&plain, IValue::Double(1.0)).contains("one number"));
    }

    #[test]
    fn containers_are_refused_with_what_they_hold_or_taken_apart() {
        let plain = ModuleOutput::default();
        let dictionary = || {
            let entry = |name: &str, shape: &[i64]| (IValue::String(name.into()), answer(shape));
            IValue::GenericDict(vec![entry("cls", &[2, 4]), entry("tokens", &[2, 3, 4])])
        };
        let text = refusal(&plain, dictionary());
        assert!(text.contains("\"cls\", \"tokens\"") && text.contains("set key"), "{text}");
        assert_eq!(settings("key = \"cls\"").of(dictionary(), 2).unwrap(), tensor(&[2, 4]));
        let pooled = settings("key = \"tokens\"\noutput = \"cls\"").of(dictionary(), 2).unwrap();
        assert_eq!(pooled, tensor(&[2, 3, 4]).select(1, 0));
        assert!(refusal(&settings("key = \"pooled\""), dictionary()).contains("without \"pooled\""));

        let tuple = || IValue::Tuple(vec![answer(&[2, 4]), answer(&[2, 3, 8, 8])]);
        let text = refusal(&plain, tuple());
        assert!(text.contains("a tuple of 2") && text.contains("index (0 to 1)"), "{text}");
        assert_eq!(settings("index = 0").of(tuple(), 2).unwrap(), tensor(&[2, 4]));
        assert!(refusal(&settings("index = 2"), tuple()).contains("none at index 2"));
        let list = || IValue::TensorList(vec![tensor(&[2, 4]), tensor(&[2, 6])]);
        assert!(refusal(&plain, list()).contains("a list of 2"));
        assert_eq!(settings("index = 1").of(list(), 2).unwrap(), tensor(&[2, 6]));
        assert!(refusal(&settings("index = 1"), answer(&[2, 4])).contains("do not apply"));
    }

    #[test]
    fn tokens_and_maps_are_pooled_as_set() {
        let tokens = || answer(&[2, 3, 4]);
        let pooled = |text: &str| settings(text).of(tokens(), 2).unwrap();
        let first: Vec<f32> = Vec::try_from(pooled("output = \"cls\"").flatten(0, 1)).unwrap();
        assert_eq!(first, [0.0, 1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0]);
        let mean: Vec<f32> = Vec::try_from(pooled("output = \"mean-tokens\"").select(0, 0)).unwrap();
        assert_eq!(mean, [4.0, 5.0, 6.0, 7.0]);
        let others: Vec<f32> =
            Vec::try_from(pooled("output = \"mean-tokens\"\nskip_tokens = 1").select(0, 0)).unwrap();
        assert_eq!(others, [6.0, 7.0, 8.0, 9.0]);
        assert_eq!(pooled("output = \"cls-and-mean-tokens\"").size(), [2, 8]);
        let map = settings("output = \"average-pool\"").of(answer(&[2, 1, 2, 2]), 2).unwrap();
        assert_eq!(Vec::<f32>::try_from(map.flatten(0, 1)).unwrap(), [1.5, 5.5]);
        assert!(refusal(&settings("output = \"average-pool\""), tokens()).contains("not a feature map"));
        assert!(
            refusal(&settings("output = \"mean-tokens\"\nskip_tokens = 3"), tokens()).contains("3 tokens")
        );
        assert!(refusal(&settings("output = \"cls\""), answer(&[2, 4])).contains("does not apply"));
    }
}
