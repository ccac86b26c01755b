//! The decoder process.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use image::RgbaImage;

use super::super::opening::open_reader;
use super::super::{OpenSettings, SlideError, SlideSource};
use super::wire::{Answer, LONGEST_LINE, Refusal, RefusalKind, Request, reason_of};
use crate::memory::Budget;
use crate::platform;

/// Bytes of decoded pixels that a decoder process caches.
const CACHE_BYTES: usize = 192 << 20;

/// Answers the requests on standard input until it ends.
///
/// # Errors
/// When the pipe to the parent is broken. All other errors are sent as refusals.
pub fn serve(path: &Path, settings: &OpenSettings, memory: u64) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Err(error) = platform::restrict_process(memory).and_then(|()| platform::end_with_parent()) {
        let reason = format!("its decoder process could not be restricted: {error}");
        return send(&mut out, &Answer::Refused(Refusal { kind: RefusalKind::Open, reason }));
    }
    Budget::of_process().set_limit(CACHE_BYTES);
    let slide = match open_reader(path, settings) {
        Ok(slide) => slide,
        Err(error) => return send(&mut out, &Answer::Refused(Refusal::of(error))),
    };
    if let Err(error) = send(&mut out, &Answer::Open(Box::new(slide.info().clone()))) {
        // If the pipe itself is broken, this fails too.
        let reason = format!("its metadata cannot be sent to the main process: {error}");
        return send(&mut out, &Answer::Refused(Refusal { kind: RefusalKind::Open, reason }));
    }
    let mut requests = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        requests.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let request: Request = serde_json::from_slice(&line)?;
        answer(slide.as_ref(), &request, &mut out)?;
    }
}

fn answer(slide: &dyn SlideSource, request: &Request, out: &mut impl Write) -> io::Result<()> {
    match request {
        Request::Read(region) => picture(slide.read(region), out),
        Request::Reduced { region, factor } => picture(slide.read_reduced(region, *factor), out),
        Request::Associated(name) => picture(slide.associated(name), out),
        Request::Profile => match slide.icc_profile() {
            Ok(Some(profile)) => {
                send(out, &Answer::Profile(Some(profile.len() as u64)))?;
                out.write_all(&profile)?;
                out.flush()
            }
            Ok(None) => send(out, &Answer::Profile(None)),
            Err(error) => send(out, &Answer::Failed(reason_of(error))),
        },
    }
}

fn picture(read: Result<RgbaImage, SlideError>, out: &mut impl Write) -> io::Result<()> {
    match read {
        Ok(pixels) => {
            let (width, height) = pixels.dimensions();
            send(out, &Answer::Picture { width, height })?;
            out.write_all(pixels.as_raw())?;
            out.flush()
        }
        Err(error) => send(out, &Answer::Failed(reason_of(error))),
    }
}

fn send(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    // Serialised before anything is written, so that an error leaves no partial answer.
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
