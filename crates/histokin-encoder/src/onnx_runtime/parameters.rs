//! How the parameters of a network are handed to ONNX Runtime.
//!
//! It rearranges most of them for the processor when it builds a session. What it is given in memory it copies before, so
//! that for a moment all are in memory three times. A file is mapped instead, and each parameter is let go when it is
//! rearranged: those of large networks go through a temporary file.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use ort::session::builder::SessionBuilder;
use tempfile::TempDir;

use crate::onnx::Constant;

/// Name of the file in which the model says that its parameters lie.
pub(super) const FILE_NAME: &str = "parameters";

/// Largest number of bytes that is handed over in memory.
const MOST_IN_MEMORY: usize = 64 << 20;

/// Option of a session: the folder of the files of parameters.
const FOLDER_OPTION: &str = "session.model_external_initializers_file_folder_path";

/// The numbers of all parameters, one after the other. They are needed until the session is built.
pub(super) enum Parameters {
    Memory(Arc<[u8]>),
    /// In a file in this folder.
    File(TempDir),
}

impl Parameters {
    /// Lays out the parameters in a file if they are many, in memory if they are few or no file can be written.
    pub fn of(constants: Vec<Constant>) -> Self {
        Self::within(constants, MOST_IN_MEMORY)
    }

    pub(super) fn within(constants: Vec<Constant>, most_in_memory: usize) -> Self {
        let length: usize = constants.iter().map(Constant::length).sum();
        // The session keeps the file mapped, and Windows does not remove mapped files.
        if length > most_in_memory && !cfg!(windows) {
            match written(&constants) {
                Ok(folder) => return Self::File(folder),
                Err(error) => tracing::info!("parameters are handed over in memory: {error}"),
            }
        }
        Self::Memory(joined(constants, length))
    }

    /// Tells a session where its parameters are.
    ///
    /// # Errors
    /// A message of ONNX Runtime.
    pub fn given_to(&self, builder: SessionBuilder) -> Result<SessionBuilder, String> {
        let given = match self {
            Self::Memory(bytes) => builder.with_external_initializer_file_in_memory(FILE_NAME, bytes.clone()),
            Self::File(folder) => builder.with_config_entry(FOLDER_OPTION, folder.path().to_string_lossy()),
        };
        given.map_err(|error| error.to_string())
    }
}

/// Writes the parameters to a file in a folder that only the user can read. Nothing reads it after the program has ended,
/// so that it need not reach the disk.
fn written(constants: &[Constant]) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("histokin-").tempdir()?;
    if folder.path().to_str().is_none() {
        return Err(io::Error::other("the path of the folder for temporary files is not Unicode"));
    }
    let mut file = File::create_new(folder.path().join(FILE_NAME))?;
    constants.iter().try_for_each(|constant| file.write_all(constant.bytes()))?;
    Ok(folder)
}

/// Copies the parameters into one buffer. Each is dropped when it is copied.
fn joined(constants: Vec<Constant>, length: usize) -> Arc<[u8]> {
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
    let mut rest = Arc::get_mut(&mut bytes).expect("it has just been made, and nothing else holds it");
    for constant in constants {
        let own = constant.bytes();
        let (place, after) = rest.split_at_mut(own.len());
        place.copy_from_slice(own);
        rest = after;
    }
    bytes
}
