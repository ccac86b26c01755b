//! The decoder process.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use image::RgbaImage;

use super::super::{OpenSettings, SlideError, SlideSource, open_reader};
use super::wire::{Answer, LONGEST_LINE, Refusal, RefusalKind, Request, reason_of};
use crate::memory::Budget;

/// Bytes of decoded pixels that a decoder process caches.
const CACHE_BYTES: usize = 192 << 20;

/// Interval at which a decoder process checks whether its parent still exists.
#[cfg(unix)]
const PARENT_WATCHED: std::time::Duration = std::time::Duration::from_secs(1);

/// Answers the requests on standard input until it ends.
///
/// # Errors
/// When the pipe to the parent is broken. All other errors are sent as refusals.
pub fn serve(path: &Path, settings: &OpenSettings, memory: u64) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Err(error) = confine(memory).and_then(|()| end_with_parent()) {
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

/// The resource limit for the private memory of a process. File mappings are not counted on systems that can
/// tell them apart.
#[cfg(target_os = "linux")]
const MEMORY: libc::__rlimit_resource_t = libc::RLIMIT_DATA;
/// The resource limit for the address space of a process.
#[cfg(all(unix, not(target_os = "linux")))]
const MEMORY: libc::c_int = libc::RLIMIT_AS;

/// Restricts this process to what decoding needs: at most `memory` bytes of memory, no growing files, no core
/// dumps and no new privileges.
#[cfg(unix)]
#[expect(unsafe_code, reason = "limits of a process are set by the C library")]
fn confine(memory: u64) -> io::Result<()> {
    for (resource, max) in [(MEMORY, memory), (libc::RLIMIT_FSIZE, 0), (libc::RLIMIT_CORE, 0)] {
        let limit = libc::rlimit { rlim_cur: max as libc::rlim_t, rlim_max: max as libc::rlim_t };
        // SAFETY: the limit is a valid structure that lives during the call.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: ignoring a signal needs no handler; a write beyond the limit then fails instead of ending the
    // process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: as above. Ctrl-C in a terminal is meant for the parent process, which may still be reading.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    #[cfg(target_os = "linux")]
    // SAFETY: the option takes plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    };
    Ok(())
}

/// Ends this process when its parent ends, even while it is decoding. The system's own signal for that would
/// already arrive when the thread that opened the slide ends.
#[cfg(unix)]
fn end_with_parent() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id();
    let watch = move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(PARENT_WATCHED);
        }
        std::process::exit(0)
    };
    std::thread::Builder::new().name("parent-watch".to_owned()).spawn(watch).map(drop)
}

#[cfg(not(unix))]
fn end_with_parent() -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn confine(_: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not support limits for a process"))
}
