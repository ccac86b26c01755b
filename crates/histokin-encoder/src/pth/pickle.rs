//! An unpickler for dictionaries of tensors; Python's `pickletools.py` documents the pickle machine. It
//! implements the construction of ordered dictionaries, tensors and parameters; any other object becomes an
//! opaque value, and none of its code is called.
//!
//! Values are stored in one arena and refer to each other by index, so neither nesting nor repetition in a
//! malicious pickle costs more than its length.

use std::collections::HashMap;

use safetensors::tensor::Dtype;

/// Index of a value in its pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(u32);

/// A value built by a pickle.
#[derive(Debug, Clone)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 8 bytes, little-endian.
    Long(Vec<u8>),
    Float,
    Text(String),
    Bytes,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// An object of a Python module, referred to by name.
    Global(Global),
    Storage(StorageRef),
    Tensor(TensorRef),
    /// The result of an unsupported function, which is not called.
    Opaque,
}

/// Python objects that a state dict refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageOf(Dtype),
    /// Any other object.
    Unknown,
}

/// A reference to a storage, the flat array that contains the values of tensors.
#[derive(Debug, Clone)]
pub struct StorageRef {
    /// Number format of the elements.
    pub dtype: Dtype,
    /// Name of the storage in the file.
    pub key: String,
}

/// A strided view of a storage.
#[derive(Debug, Clone)]
pub struct TensorRef {
    /// The [`Value::Storage`] that contains the tensor's values.
    pub storage: Id,
    /// Index of the first element in the storage.
    pub offset: usize,
    /// Extent along each dimension.
    pub size: Vec<usize>,
    /// Distance in elements between neighbours along each dimension.
    pub stride: Vec<usize>,
}

/// The values of one pickle.
pub struct Pickle {
    values: Vec<Value>,
    foreign_object: Option<String>,
}

impl Pickle {
    /// Reads one pickle from the start of `bytes` and advances `bytes` past it; also returns the top-level
    /// value.
    ///
    /// # Errors
    /// A message if the pickle is damaged, has unsupported instructions, or exceeds a limit.
    pub fn read(bytes: &mut &[u8]) -> Result<(Self, Id), String> {
        let mut machine = Machine {
            rest: bytes,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
            foreign_object: None,
        };
        let root = machine.run()?;
        let (rest, values, foreign_object) = (machine.rest, machine.values, machine.foreign_object);
        *bytes = rest;
        Ok((Self { values, foreign_object }, root))
    }

    /// Returns the name of the first unsupported Python object.
    pub fn foreign_object(&self) -> Option<&str> {
        self.foreign_object.as_deref()
    }

    /// Returns the value with the given index.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    /// Returns the value of the dictionary `dict` for the key `name`.
    pub fn entry(&self, dict: Id, name: &str) -> Option<Id> {
        let Value::Dict(entries) = self.value(dict) else { return None };
        let is_it = |key: &Id| matches!(self.value(*key), Value::Text(text) if text == name);
        entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| *value)
    }

    /// Returns the element size of each storage in bytes, by the storage's key.
    pub fn storage_sizes(&self) -> HashMap<String, usize> {
        let storage = |value: &Value| match value {
            Value::Storage(storage) => Some((storage.key.clone(), storage.dtype.bitsize() / 8)),
            _ => None,
        };
        self.values.iter().filter_map(storage).collect()
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Stack heights at the MARK instructions.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Number of entries of lists that were copied into dictionaries.
    copied: usize,
    /// Name of the first unsupported Python object.
    foreign_object: Option<String>,
}

/// Maximum number of values in a pickle. A one-byte instruction can create a value of 80 bytes; a network has
/// about a thousand tensors of 30 values each.
const MOST_VALUES: usize = 1 << 20;

/// Maximum length of a storage's name, in bytes; PyTorch uses numbers as names.
const LONGEST_KEY: usize = 64;

/// Maximum number of instructions in a pickle; some create a memo entry instead of a value.
const MOST_INSTRUCTIONS: usize = 1 << 24;

const EARLY: &str = "its pickle ends too early or is damaged";

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        for _ in 0..MOST_INSTRUCTIONS {
            let code = self.take(1)?[0];
            // STOP
            if code == b'.' {
                return self.pop();
            }
            let is_known = self.arrange(code)?
                || self.constant(code)?
                || self.text_or_bytes_instruction(code)?
                || self.collection(code)?
                || self.memo_instruction(code)?
                || self.object(code)?;
            if !is_known {
                return Err(format!("its pickle asks for more than plain tensors (instruction {code:#04x})"));
            }
        }
        Err("its pickle is longer than that of any network".to_owned())
    }

    /// Performs an instruction on the stack or on nothing; returns whether `code` is one.
    fn arrange(&mut self, code: u8) -> Result<bool, String> {
        match code {
            0x80 => _ = self.take(1)?, // PROTO
            0x95 => _ = self.take(8)?, // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => match self.marks.last() == Some(&self.stack.len()) {
                true => _ = self.marks.pop(),
                false => _ = self.pop()?,
            },
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Performs an instruction that creates a number, a truth value or None; returns whether `code` is one.
    fn constant(&mut self, code: u8) -> Result<bool, String> {
        let value = match code {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.chunk()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(self.chunk()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.chunk()?).into()),
            0x8a => {
                let [length] = self.chunk()?;
                long(self.take(length.into())?)
            }
            0x8b => {
                let length = u32::from_le_bytes(self.chunk()?);
                long(self.take(length as usize)?)
            }
            b'G' => {
                self.take(8)?;
                Value::Float
            }
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Performs an instruction that creates text or bytes; returns whether `code` is one.
    fn text_or_bytes_instruction(&mut self, code: u8) -> Result<bool, String> {
        let length = match code {
            0x8c | b'U' | b'C' => {
                let [length] = self.chunk()?;
                usize::from(length)
            }
            b'X' | b'T' | b'B' => u32::from_le_bytes(self.chunk()?) as usize,
            0x8d | 0x8e | 0x96 => usize::try_from(u64::from_le_bytes(self.chunk()?)).map_err(|_| EARLY)?,
            _ => return Ok(false),
        };
        match code {
            b'X' | 0x8c | 0x8d => self.text(length)?,
            // Python 2 writes text as bytes.
            b'U' | b'T' => self.text_or_bytes(length)?,
            _ => {
                self.take(length)?;
                self.push(Value::Bytes)?;
            }
        }
        Ok(true)
    }

    /// Performs an instruction that creates or fills a dictionary, a list, a tuple or a set; returns whether `code` is
    /// one.
    fn collection(&mut self, code: u8) -> Result<bool, String> {
        match code {
            // EMPTY_SET, ADDITEMS and FROZENSET: sets hold no tensors.
            0x8f => self.push(Value::Opaque)?,
            0x90 => {
                self.pop_to_mark()?;
                self.top()?;
            }
            0x91 => {
                self.pop_to_mark()?;
                self.push(Value::Opaque)?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(&items)?;
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let items = self.pop_last(usize::from(code - 0x84))?;
                self.push(Value::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_last(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Performs an instruction that remembers or recalls a value; returns whether `code` is one.
    fn memo_instruction(&mut self, code: u8) -> Result<bool, String> {
        match code {
            b'q' => {
                let [place] = self.chunk()?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.chunk()?);
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [place] = self.chunk()?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.chunk()?);
                self.recall(place)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Performs an instruction that names, creates or changes an object; returns whether `code` is one.
    fn object(&mut self, code: u8) -> Result<bool, String> {
        match code {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.value(module), self.value(name)) else {
                    return Err(EARLY.to_owned());
                };
                if module.len() + name.len() > LONGEST_KEY {
                    return Err("its pickle names an object at length".to_owned());
                }
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)?;
            }
            // NEWOBJ and NEWOBJ_EX
            0x81 | 0x92 => {
                self.pop_last(if code == 0x92 { 3 } else { 2 })?;
                self.push(Value::Opaque)?;
            }
            b'Q' => {
                let reference = self.pop()?;
                let storage = self.storage(reference)?;
                self.push(Value::Storage(storage))?;
            }
            b'R' => self.reduce()?,
            // BUILD: attributes that PyTorch adds to ordered dictionaries; irrelevant for tensors.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(EARLY)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or(EARLY)?;
        let line = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| EARLY.to_owned())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| EARLY)?;
        self.push(Value::Text(text.to_owned()))
    }

    fn text_or_bytes(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?);
        self.push(text.map_or(Value::Bytes, |text| Value::Text(text.to_owned())))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES {
            return Err("its pickle holds more values than those of any network".to_owned());
        }
        let id = u32::try_from(self.values.len()).map_err(|_| EARLY)?;
        self.values.push(value);
        self.stack.push(Id(id));
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| EARLY.to_owned())
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let first = self.stack.len().checked_sub(count).ok_or(EARLY)?;
        Ok(self.stack.split_off(first))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| EARLY.to_owned())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let height = self.marks.pop().filter(|height| *height <= self.stack.len()).ok_or(EARLY)?;
        Ok(self.stack.split_off(height))
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let id = *self.memo.get(&place).ok_or(EARLY)?;
        self.stack.push(id);
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            Value::List(list) => list.extend(items),
            Value::Opaque => {}
            _ => return Err(EARLY.into()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            Value::Dict(entries) => {
                entries.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)))
            }
            // A dictionary of a class of its own, such as those of settings.
            opaque @ Value::Opaque => {
                let entries = items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value));
                *opaque = Value::Dict(entries.collect());
            }
            _ => return Err(EARLY.into()),
        }
        Ok(())
    }

    /// Interprets the persistent ID `('storage', type, key, location, count, …)`.
    fn storage(&self, reference: Id) -> Result<StorageRef, String> {
        if let Value::Tuple(parts) = self.value(reference)
            && let [kind, of, key, ..] = parts[..]
            && let (Value::Text(kind), Value::Global(Global::StorageOf(dtype)), Value::Text(key)) =
                (self.value(kind), self.value(of), self.value(key))
            && kind == "storage"
            && key.len() <= LONGEST_KEY
        {
            return Ok(StorageRef { dtype: *dtype, key: key.clone() });
        }
        Err("its pickle refers to something that is not a storage of numbers".into())
    }

    /// Pushes the object that a Python name refers to, and records the name if it is unsupported.
    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = global(module, name);
        if global == Global::Unknown && self.foreign_object.is_none() {
            let shown = |part: &str| part.chars().take(LONGEST_KEY).collect::<String>();
            self.foreign_object = Some(format!("{}.{}", shown(module), shown(name)));
        }
        self.push(Value::Global(global))
    }

    /// Builds the result of a supported function.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        if matches!(self.value(function), Value::Global(Global::Unknown) | Value::Opaque) {
            return self.push(Value::Opaque);
        }
        let (Value::Tuple(arguments), Value::Global(function)) =
            (self.value(arguments), self.value(function))
        else {
            return Err(EARLY.into());
        };
        // Python 2 writes the entries as a list of pairs.
        if let (Global::OrderedDict, [entries]) = (function, &arguments[..]) {
            let entries = *entries;
            let pairs = self.pairs(entries)?;
            return self.push(Value::Dict(pairs));
        }
        let value = match (function, &arguments[..]) {
            (Global::OrderedDict, []) => Value::Dict(Vec::new()),
            (Global::RebuildTensor, [storage, offset, size, stride, ..])
                if matches!(self.value(*storage), Value::Storage(_)) =>
            {
                Value::Tensor(TensorRef {
                    storage: *storage,
                    offset: self.count(*offset)?,
                    size: self.counts(*size)?,
                    stride: self.counts(*stride)?,
                })
            }
            // A parameter is represented by its tensor. Large values are never copied, since a malicious file
            // could request many copies.
            (Global::RebuildParameter, [tensor, ..]) if matches!(self.value(*tensor), Value::Tensor(_)) => {
                self.stack.push(*tensor);
                return Ok(());
            }
            _ => return Err(EARLY.into()),
        };
        self.push(value)
    }

    /// Returns the entries of a list of pairs. A malicious file could request many copies of one list, so their number is
    /// limited.
    fn pairs(&mut self, id: Id) -> Result<Vec<(Id, Id)>, String> {
        let Value::List(entries) = self.value(id) else { return Err(EARLY.into()) };
        self.copied += entries.len();
        if self.copied > MOST_VALUES {
            return Err("its pickle holds more values than those of any network".to_owned());
        }
        let Value::List(entries) = self.value(id) else { return Err(EARLY.into()) };
        let pair = |entry: &Id| match self.value(*entry) {
            Value::List(pair) | Value::Tuple(pair) => match pair[..] {
                [key, value] => Ok((key, value)),
                _ => Err(EARLY.to_owned()),
            },
            _ => Err(EARLY.to_owned()),
        };
        entries.iter().map(pair).collect()
    }

    fn count(&self, id: Id) -> Result<usize, String> {
        match self.value(id) {
            Value::Int(number) => usize::try_from(*number).map_err(|_| EARLY.to_owned()),
            _ => Err(EARLY.into()),
        }
    }

    fn counts(&self, id: Id) -> Result<Vec<usize>, String> {
        match self.value(id) {
            Value::Tuple(items) if items.len() <= 16 => items.iter().map(|item| self.count(*item)).collect(),
            _ => Err(EARLY.into()),
        }
    }
}

fn long(digits: &[u8]) -> Value {
    if digits.len() > 8 {
        return Value::Long(digits.to_vec());
    }
    let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..digits.len()].copy_from_slice(digits);
    Value::Int(i64::from_le_bytes(bytes))
}

fn global(module: &str, name: &str) -> Global {
    match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch" | "torch.storage", storage) => match storage {
            "FloatStorage" => Global::StorageOf(Dtype::F32),
            "DoubleStorage" => Global::StorageOf(Dtype::F64),
            "HalfStorage" => Global::StorageOf(Dtype::F16),
            "BFloat16Storage" => Global::StorageOf(Dtype::BF16),
            "LongStorage" => Global::StorageOf(Dtype::I64),
            "IntStorage" => Global::StorageOf(Dtype::I32),
            "ShortStorage" => Global::StorageOf(Dtype::I16),
            "CharStorage" => Global::StorageOf(Dtype::I8),
            "ByteStorage" => Global::StorageOf(Dtype::U8),
            "BoolStorage" => Global::StorageOf(Dtype::BOOL),
            _ => Global::Unknown,
        },
        _ => Global::Unknown,
    }
}
