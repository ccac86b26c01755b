//! The program is killed (SIGKILL) at random moments of embedding, training, annotating, saving and exporting. After
//! each kill all that it keeps is looked at: files are whole or absent, what was done is still there, and the next
//! start goes on with it. `make torture` kills more often than `make test` does.

pub mod annotating;
mod embedding;
mod files;
mod saving;
mod training;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Something that the program does for a while.
trait Work {
    /// What is done, for people.
    fn name(&self) -> &'static str;

    /// Begin, or go on after a kill.
    fn start(&mut self) -> Child;

    /// Called while the process is held still, just before it is killed: note what is safe by now.
    fn before_kill(&mut self) {}

    /// Look at everything that is kept. `ended` when the work had come to its end before it could be killed.
    fn check(&mut self, ended: bool);
}

/// Kill this work as often as is asked for, at random moments.
fn torture(work: &mut dyn Work, share: f64) {
    // How many kills over all kinds of work; a kind takes its share of them.
    let all =
        std::env::var("HISTOKIN_TORTURE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(12.0);
    let wanted = (all * share).ceil() as usize;
    let mut random = ChaCha8Rng::seed_from_u64(
        std::env::var("HISTOKIN_TORTURE_SEED")
            .map_or(7, |seed| seed.parse().expect("HISTOKIN_TORTURE_SEED is a number")),
    );
    let started = Instant::now();
    let mut undisturbed = work.start();
    assert!(undisturbed.wait().unwrap().success(), "{}: fails without being killed", work.name());
    let longest = started.elapsed();
    work.check(true);
    let (mut killed, mut tried) = (0, 0);
    while killed < wanted {
        tried += 1;
        assert!(tried < 20 * wanted + 20, "{}: it is too quick to be killed", work.name());
        let mut process = work.start();
        std::thread::sleep(longest.mul_f64(random.random_range(0.0..1.0)));
        signal(&process, libc::SIGSTOP);
        work.before_kill();
        signal(&process, libc::SIGKILL);
        let ended = process.wait().unwrap();
        match ended.code() {
            None => killed += 1,
            Some(code) => assert_eq!(code, 0, "{}: failed after {killed} kills", work.name()),
        }
        work.check(ended.success());
    }
    // And it still comes to its end.
    assert!(work.start().wait().unwrap().success(), "{}: does not recover", work.name());
    work.check(true);
    println!("{}: {killed} of {killed} kills survived", work.name());
}

#[expect(unsafe_code, reason = "signals are sent by the C library")]
fn signal(process: &Child, signal: i32) {
    // SAFETY: it is our own child, which has not been waited for, so that its number is still its own.
    unsafe { libc::kill(process.id().cast_signed(), signal) };
}

/// The program, with a home of its own.
fn histokin(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.args(arguments).env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Wait until `done`, for ever but for an end to waiting in vain.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let timeout = Instant::now();
    while !done() {
        assert!(timeout.elapsed() < Duration::from_secs(120), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
