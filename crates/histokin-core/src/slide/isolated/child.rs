//! The process that decodes.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use image::RgbaImage;

use super::super::{SlideError, SlideSource, open_reader};
use super::wire::{Answer, LONGEST_LINE, Refusal, RefusalKind, Request, reason_of};
use crate::geometry::MicronsPerPixel;
use crate::memory::Budget;

/// Bytes of decoded pixels that one such process keeps.
const CACHE_BYTES: usize = 64 << 20;

/// How often it is asked whether the process that started this one is still there.
#[cfg(unix)]
const PARENT_WATCHED: std::time::Duration = std::time::Duration::from_secs(1);

/// Decode what standard input asks for, until it ends.
///
/// # Errors
/// When the other side has gone. Whatever else is wrong is answered as a refusal.
pub fn serve(
    path: &Path,
    user_mpp: Option<MicronsPerPixel>,
    raw_tiles_allowed: bool,
    memory: u64,
) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Err(error) = confine(memory).and_then(|()| end_with_parent()) {
        let reason = format!("the process that was to decode it could not be confined: {error}");
        return say(&mut out, &Answer::Refused(Refusal { kind: RefusalKind::Open, reason }));
    }
    Budget::of_process().set_limit(CACHE_BYTES);
    let slide = match open_reader(path, user_mpp, raw_tiles_allowed) {
        Ok(slide) => slide,
        Err(error) => return say(&mut out, &Answer::Refused(Refusal::of(error))),
    };
    if let Err(error) = say(&mut out, &Answer::Open(Box::new(slide.info().clone()))) {
        // Where the pipe itself is broken, this fails too.
        let reason = format!("what it says of itself cannot be passed on: {error}");
        return say(&mut out, &Answer::Refused(Refusal { kind: RefusalKind::Open, reason }));
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
                say(out, &Answer::Profile(Some(profile.len() as u64)))?;
                out.write_all(&profile)?;
                out.flush()
            }
            Ok(None) => say(out, &Answer::Profile(None)),
            Err(error) => say(out, &Answer::Failed(reason_of(error))),
        },
    }
}

fn picture(read: Result<RgbaImage, SlideError>, out: &mut impl Write) -> io::Result<()> {
    match read {
        Ok(pixels) => {
            let (width, height) = pixels.dimensions();
            say(out, &Answer::Picture { width, height })?;
            out.write_all(pixels.as_raw())?;
            out.flush()
        }
        Err(error) => say(out, &Answer::Failed(reason_of(error))),
    }
}

fn say(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    // Nothing is written of an answer that cannot be put into words.
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// What limits the memory that a process may take for itself; files that it maps are not counted where that can be
/// told apart.
#[cfg(target_os = "linux")]
const MEMORY: libc::__rlimit_resource_t = libc::RLIMIT_DATA;
#[cfg(all(unix, not(target_os = "linux")))]
const MEMORY: libc::c_int = libc::RLIMIT_AS;

/// Take from this process what decoding does not need: more than `memory` bytes of memory, growing files, memory
/// dumps, and more rights.
#[cfg(unix)]
#[expect(unsafe_code, reason = "limits of a process are set by the C library")]
fn confine(memory: u64) -> io::Result<()> {
    for (what, most) in [(MEMORY, memory), (libc::RLIMIT_FSIZE, 0), (libc::RLIMIT_CORE, 0)] {
        let limit = libc::rlimit { rlim_cur: most as libc::rlim_t, rlim_max: most as libc::rlim_t };
        // SAFETY: the limit is a valid structure that lives during the call.
        if unsafe { libc::setrlimit(what, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: to ignore a signal needs no handler; what is written to a full file then fails, and ends nothing.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: as above. Ctrl-C in a terminal is meant for the process that started this one, which may still read.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    #[cfg(target_os = "linux")]
    // SAFETY: the option takes plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    };
    Ok(())
}

/// End when the process that started this one does, even in the midst of decoding. The system's own signal for that
/// would come already at the end of the thread that asked for the slide.
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
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system knows no limits for a process"))
}
