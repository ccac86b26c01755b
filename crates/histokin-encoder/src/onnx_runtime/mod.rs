//! The encoder that runs in ONNX Runtime, on the CPU.
//!
//! The network is written as an ONNX model ([`crate::onnx`]) in memory, without the parameters, which are handed over
//! apart.

mod library;
mod parameters;
#[cfg(test)]
mod tests;

use image::RgbImage;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

use super::batches::{check_finite, check_sizes, in_parts, is_lack_of_memory};
use super::device::{DeviceChoice, computing_threads};
use super::model::Model;
use super::onnx::{Computation, INPUT, OUTPUT};
use super::{DescriptorBatch, Encoder, EncoderError, EncoderSpec};
use parameters::Parameters;

/// Initial number of tiles per batch, reduced if memory runs out.
const BATCH: usize = 16;

/// Returns whether ONNX Runtime's library is where it is looked for.
pub(super) fn is_there() -> bool {
    library::path().is_ok()
}

/// Builds a model's network.
///
/// # Errors
/// [`EncoderError::Device`] if another device than the CPU is requested; otherwise as [`prepare`].
pub(super) fn load_model(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    if let DeviceChoice::Cuda(_) | DeviceChoice::CudaHalf(_) = device {
        let reason = "ONNX Runtime is used on the CPU only; choose libtorch as the engine (--engine torch) to use CUDA devices";
        return Err(EncoderError::Device { device: device.to_string(), reason: reason.to_owned() });
    }
    Ok(prepare(&model)?.encoder(model))
}

/// A network that is ready to run.
pub(super) struct Prepared {
    session: Session,
    /// Height and width of the session's tiles.
    size: [u32; 2],
}

/// Builds a model's network for tiles of its own size.
///
/// # Errors
/// [`EncoderError::Engine`] if ONNX Runtime's library is missing; [`EncoderError::OnnxRuntime`] if it cannot run the
/// network; [`EncoderError`] if the weights are damaged or of another network.
pub(super) fn prepare(model: &Model) -> Result<Prepared, EncoderError> {
    let size = [model.spec.tiles.tile_px; 2];
    Ok(Prepared { session: session(model, size)?, size })
}

impl Prepared {
    /// Returns the encoder of the model that this was prepared of.
    pub fn encoder(self, model: Model) -> Box<dyn Encoder> {
        let Self { session, size } = self;
        Box::new(OnnxEncoder { model, session, size, largest_batch: BATCH })
    }
}

/// A model's network with the session for tiles of one size.
struct OnnxEncoder {
    model: Model,
    session: Session,
    /// Height and width of the session's tiles.
    size: [u32; 2],
    /// Maximum number of tiles per batch; halved when memory runs out.
    largest_batch: usize,
}

fn failed(doing: &'static str) -> impl Fn(String) -> EncoderError {
    move |reason| EncoderError::OnnxRuntime { doing, reason: first_line(&reason) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Builds a session for tiles of this height and width.
fn session(model: &Model, size: [u32; 2]) -> Result<Session, EncoderError> {
    let environment = library::environment()?;
    let (message, constants) = Computation::of(model, size)?.divided(parameters::FILE_NAME);
    build(environment, &message, &Parameters::of(constants)).map_err(failed("building the network"))
}

fn build(
    environment: &ort::environment::Environment,
    message: &[u8],
    parameters: &Parameters,
) -> Result<Session, String> {
    fn text<R>(error: ort::Error<R>) -> String {
        error.to_string()
    }
    // Idle threads that wait actively would take time from those that decode.
    let builder = Session::builder(environment)
        .map_err(text)?
        .with_log_level(LogLevel::Error)
        .map_err(text)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(text)?
        .with_intra_threads(threads())
        .map_err(text)?
        .with_intra_op_spinning(false)
        .map_err(text)?;
    parameters.given_to(builder)?.commit_from_memory(message).map_err(text)
}

/// Returns the number of threads: that of `OMP_NUM_THREADS` if it is set, as for libtorch.
fn threads() -> usize {
    let set = std::env::var("OMP_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    set.filter(|threads| *threads > 0).unwrap_or_else(|| computing_threads(processors))
}

impl OnnxEncoder {
    fn run(&mut self, tiles: &[RgbImage]) -> Result<Vec<f32>, String> {
        let [height, width] = self.size.map(i64::from);
        let bytes: Vec<u8> = tiles.iter().flat_map(|tile| tile.as_raw()).copied().collect();
        let shape = vec![tiles.len() as i64, height, width, 3];
        let input = Tensor::from_array((shape, bytes)).map_err(|error| error.to_string())?;
        let outputs = self.session.run(ort::inputs![INPUT => input]).map_err(|error| error.to_string())?;
        let (shape, values) =
            outputs[OUTPUT].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let expected = [tiles.len() as i64, self.model.spec.width as i64];
        match shape[..] == expected {
            true => Ok(values.to_vec()),
            false => Err(format!("the network returned {shape:?}, not {expected:?}")),
        }
    }
}

impl Encoder for OnnxEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.model.spec
    }

    fn device(&self) -> String {
        "CPU (ONNX Runtime)".to_owned()
    }

    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError> {
        let width = self.model.spec.width;
        check_sizes(tiles)?;
        let Some(first) = tiles.first() else { return Ok(DescriptorBatch { values: Vec::new(), width }) };
        let size = [first.height(), first.width()];
        if size != self.size {
            self.session = session(&self.model, size)?;
            self.size = size;
        }
        let mut values = Vec::with_capacity(tiles.len() * width);
        let mut largest = self.largest_batch;
        let is_lack = |message: &String| is_lack_of_memory(message);
        let outcome = in_parts(tiles.len(), &mut largest, is_lack, |part| {
            values.extend(self.run(&tiles[part])?);
            Ok(())
        });
        self.largest_batch = largest;
        outcome.map_err(failed("encoding"))?;
        check_finite(&values, width, &self.model.spec.name)?;
        Ok(DescriptorBatch { values, width })
    }
}
