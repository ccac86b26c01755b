//! A decoder process, as seen by its parent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use image::RgbaImage;

use super::super::{MAX_REGION_PIXELS, OpenSettings, SlideInfo};
use super::wire::{Answer, LARGEST_PROFILE, LONGEST_LINE, Refusal, Request};
use super::{Limits, Order};
use crate::platform;

/// A running decoder process and the pipes to it.
pub(super) struct DecoderProcess {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<TimedPipe>,
    /// Ends the process with this one.
    _tie: platform::Tie,
}

/// Why a process does not answer any more.
#[derive(Debug)]
pub(super) enum Ended {
    /// It could not be started.
    NotStarted(io::Error),
    /// It did not answer in time and was ended.
    TooLate(Duration),
    /// It ended by itself.
    Crashed(Option<ExitStatus>),
    /// Its answer was invalid.
    Invalid(String),
}

impl Ended {
    /// Whether the file may be the cause.
    pub fn is_crash(&self) -> bool {
        match self {
            Self::NotStarted(_) => false,
            Self::Crashed(Some(status)) => !is_orderly(*status),
            Self::TooLate(_) | Self::Crashed(None) | Self::Invalid(_) => true,
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "its decoder process could not be started: {error}"),
            Self::TooLate(limit) => {
                write!(f, "its decoder did not answer within {} s and was ended", limit.as_secs_f32())
            }
            Self::Crashed(Some(status)) if is_orderly(*status) => {
                write!(f, "its decoder process has ended ({status}); open it again")
            }
            Self::Crashed(status) => {
                f.write_str("its decoder crashed in a separate process")?;
                match status {
                    Some(status) => write!(f, " ({status}); the file is probably damaged or malicious"),
                    None => Ok(()),
                }
            }
            Self::Invalid(what) => write!(f, "its decoder sent an invalid answer and was ended ({what})"),
        }
    }
}

/// Exit code of a process that panicked.
const PANICKED: i32 = 101;

/// Whether a process ended regularly or by a signal from outside, rather than by a fault.
fn is_orderly(status: ExitStatus) -> bool {
    platform::ended_from_outside(&status)
        .unwrap_or_else(|| status.code().is_some_and(|code| code != PANICKED))
}

impl DecoderProcess {
    /// Starts a process for the slide and waits until the slide is open or refused.
    ///
    /// # Errors
    /// [`Ended`] when the process does not give a valid answer.
    pub fn start(order: &Order) -> Result<(Self, Result<Box<SlideInfo>, Refusal>), Ended> {
        let Limits { memory, opening, .. } = order.limits;
        let mut command = Command::new(&order.program);
        command.arg("decode").arg("--memory").arg(memory.to_string());
        let OpenSettings { user_mpp, raw_tiles_allowed, channels } = &order.settings;
        if let Some(mpp) = user_mpp {
            command.arg("--slide-mpp").arg(format!("{},{}", mpp.x(), mpp.y()));
        }
        if !raw_tiles_allowed {
            command.arg("--no-raw-tiles");
        }
        if !channels.is_empty() {
            let text = serde_json::to_string(channels).map_err(|error| Ended::Invalid(error.to_string()))?;
            command.arg("--channels").arg(text);
        }
        // A file name may begin with a dash.
        command.arg("--").arg(&order.path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        platform::without_console(&mut command);
        let mut process = command.spawn().map_err(Ended::NotStarted)?;
        let tie = platform::Tie::new(&process).map_err(Ended::NotStarted)?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (requests, answers) = pipes.expect("both pipes were requested above");
        let answers =
            BufReader::new(TimedPipe { pipe: answers, limit: opening, deadline: Instant::now() + opening });
        let mut decoder = Self { process, requests, answers, _tie: tie };
        match decoder.answer() {
            Ok(Answer::Open(info)) => Ok((decoder, Ok(info))),
            Ok(Answer::Refused(refusal)) => Ok((decoder, Err(refusal))),
            Ok(other) => Err(Ended::Invalid(format!("{other:?} at the start"))),
            Err(Ended::Crashed(_)) => Err(decoder.end()),
            Err(other) => Err(other),
        }
    }

    /// Sends a request that has to be answered within `limit`.
    ///
    /// # Errors
    /// [`Ended`] when the process has ended.
    pub fn send(&mut self, request: &Request, limit: Duration) -> Result<(), Ended> {
        let pipe = self.answers.get_mut();
        (pipe.limit, pipe.deadline) = (limit, Instant::now() + limit);
        let mut line = serde_json::to_vec(request).map_err(|error| Ended::Invalid(error.to_string()))?;
        line.push(b'\n');
        self.requests.write_all(&line).map_err(|_| Ended::Crashed(None))
    }

    /// Reads the requested image, which must have this extent if it is known.
    ///
    /// # Errors
    /// [`Ended`] when the process does not give a valid answer.
    pub fn picture(&mut self, extent: Option<(u32, u32)>) -> Result<Result<RgbaImage, String>, Ended> {
        let (width, height) = match self.answer()? {
            Answer::Picture { width, height } => (width, height),
            Answer::Failed(reason) => return Ok(Err(reason)),
            other => return Err(Ended::Invalid(format!("{other:?} instead of an image"))),
        };
        let pixels = u64::from(width) * u64::from(height);
        if extent.is_some_and(|expected| expected != (width, height)) || pixels > MAX_REGION_PIXELS {
            return Err(Ended::Invalid(format!("an image of {width} × {height} px")));
        }
        let mut picture = RgbaImage::new(width, height);
        self.fill(picture.as_flat_samples_mut().samples)?;
        Ok(Ok(picture))
    }

    /// Reads the colour profile.
    ///
    /// # Errors
    /// [`Ended`] when the process does not give a valid answer.
    pub fn profile(&mut self) -> Result<Result<Option<Vec<u8>>, String>, Ended> {
        match self.answer()? {
            Answer::Profile(None) => Ok(Ok(None)),
            Answer::Profile(Some(length)) if length <= LARGEST_PROFILE => {
                let mut profile = vec![0; length as usize];
                self.fill(&mut profile)?;
                Ok(Ok(Some(profile)))
            }
            Answer::Failed(reason) => Ok(Err(reason)),
            other => Err(Ended::Invalid(format!("{other:?} instead of a profile"))),
        }
    }

    fn answer(&mut self) -> Result<Answer, Ended> {
        let mut line = Vec::new();
        let read = self.answers.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| self.cause(&error))?;
        if line.last() != Some(&b'\n') {
            return Err(Ended::Crashed(None));
        }
        serde_json::from_slice(&line).map_err(|error| Ended::Invalid(error.to_string()))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Ended> {
        self.answers.read_exact(bytes).map_err(|error| self.cause(&error))
    }

    fn cause(&self, error: &io::Error) -> Ended {
        match error.kind() {
            io::ErrorKind::TimedOut => Ended::TooLate(self.answers.get_ref().limit),
            _ => Ended::Crashed(None),
        }
    }

    /// Ends the process and returns how it ended, if it already had.
    pub fn end(mut self) -> Ended {
        // A process that has just ended may take a moment until its status is available.
        for _ in 0..50 {
            match self.process.try_wait() {
                Ok(Some(status)) => return Ended::Crashed(Some(status)),
                Ok(None) if self.answers.get_ref().is_over() => break,
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        match self.answers.get_ref().is_over() {
            true => Ended::TooLate(self.answers.get_ref().limit),
            false => Ended::Crashed(None),
        }
    }
}

impl Drop for DecoderProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A pipe whose reads fail with `TimedOut` after a deadline.
struct TimedPipe {
    pipe: ChildStdout,
    limit: Duration,
    deadline: Instant,
}

impl TimedPipe {
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Read for TimedPipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        platform::read_within(&mut self.pipe, buffer, left)
    }
}
