//! Time from the start of the process to the first painted frame of the real window.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support;

const STARTS: usize = 7;

/// Starts the program repeatedly with a slide. The first start is not counted, because it may read the
/// program from disk.
pub fn report() {
    let Some(display) = Display::find() else {
        println!("start to first painted frame: not measured, there is neither a display nor Xvfb");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder for the project");
    let mut starts: Vec<Start> = Vec::new();
    for number in 0..=STARTS {
        match Start::of(&display.name, folder.path(), &support::slide()) {
            Some(start) if number > 0 => starts.push(start),
            Some(_) => {}
            None => {
                println!("start to first painted frame: not measured, the window did not open");
                return;
            }
        }
    }
    let mut seconds: Vec<f64> = starts.iter().map(|start| start.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let with_torch = starts.iter().filter(|start| start.has_torch).count();
    println!(
        "start to first painted frame (aim ≤ 0.5 s): p50 {:.2} s, most {:.2} s of {STARTS} starts under {}; libtorch was loaded by then in {with_torch} of them",
        support::percentile(&seconds, 0.5),
        support::percentile(&seconds, 1.0),
        display.what,
    );
}

struct Start {
    seconds: f64,
    /// Whether the process had loaded libtorch at its first frame.
    has_torch: bool,
}

impl Start {
    fn of(display: &str, folder: &Path, slide: &Path) -> Option<Self> {
        let mut window = Command::new(env!("CARGO_BIN_EXE_histokin"))
            .arg("--project")
            .arg(folder.join("project"))
            .arg(slide)
            .env("DISPLAY", display)
            .env_remove("WAYLAND_DISPLAY")
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder.join("data"))
            .env("HISTOKIN_LOG", "histokin=info")
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let maps = PathBuf::from(format!("/proc/{}/maps", window.id()));
        let start = BufReader::new(window.stderr.take()?).lines().map_while(Result::ok).find_map(|line| {
            let seconds = line.split("first frame painted ").nth(1)?.split(' ').next()?.parse().ok()?;
            let has_torch = fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("libtorch"));
            Some(Self { seconds, has_torch })
        });
        let _ = window.kill();
        let _ = window.wait();
        start
    }
}

/// The existing display, or an Xvfb server that is stopped on drop.
struct Display {
    name: String,
    what: &'static str,
    server: Option<(Child, ChildStdout)>,
}

impl Display {
    fn find() -> Option<Self> {
        if let Ok(name) = std::env::var("DISPLAY") {
            return Some(Self { name, what: "the existing display", server: None });
        }
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1600x1000x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut output = server.stdout.take()?;
        let mut number = String::new();
        BufReader::new(&mut output).read_line(&mut number).ok()?;
        let name = format!(":{}", number.trim());
        Some(Self { name, what: "Xvfb, drawn in software", server: Some((server, output)) })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some((server, _)) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
