//! The real window, in a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{asset, interruptible_program};

/// A virtual display of one's own; the server ends with this. It picks a free number by itself, so that tests side by
/// side never meet on one.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None`, and a line that says so, where there is no Xvfb.
    fn open() -> Option<Self> {
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut server) = server else {
            crate::support::skipped::skip(format_args!("there is no Xvfb here"));
            return None;
        };
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        assert!(name.len() > 1, "Xvfb found no free display");
        Some(Self { server, name })
    }

    /// A program that draws on this display, without the settings of a Wayland session.
    fn command(&self, program: &str) -> Command {
        self.shows(Command::new(program))
    }

    fn shows(&self, mut command: Command) -> Command {
        command.env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        command
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Asked to end, it takes its lock and socket with it.
        let _ = Command::new("kill").arg(self.server.id().to_string()).status();
        let _ = self.server.wait();
    }
}

/// The window on a display of its own; both end with this.
struct Window {
    program: Child,
    said: PathBuf,
    _display: Display,
}

impl Window {
    fn open(project: &Path) -> Option<Self> {
        let display = Display::open()?;
        let said = project.join("said.txt");
        let program = display
            .shows(interruptible_program())
            .arg("--project")
            .arg(project)
            .arg(asset("slides"))
            .env("HOME", project)
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Some(Self { program, said, _display: display })
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn finished(project: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(project.join("descriptors")) else { return 0 };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "safetensors")).count()
}

#[test]
fn the_window_opens_and_embeds_both_demonstration_slides() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut window) = Window::open(folder.path()) else { return };
    // No bound on speed: only an end to waiting for something that will never come.
    let timeout = Instant::now();
    while finished(folder.path()) < 2 {
        assert!(
            window.program.try_wait().unwrap().is_none(),
            "the window closed by itself: {}",
            window.said()
        );
        assert!(timeout.elapsed() < Duration::from_secs(240), "nothing was embedded");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Who is noted to work in a project: the process, once it does.
fn holder(project: &Path) -> Option<String> {
    let noted = std::fs::read_to_string(project.join("project.lock")).ok()?;
    Some(noted.lines().find_map(|line| line.strip_prefix("pid = "))?.to_owned())
}

#[test]
fn at_the_systems_wish_the_window_ends_properly() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut window) = Window::open(folder.path()) else { return };
        let timeout = Instant::now();
        let wait = |what: &str| {
            assert!(timeout.elapsed() < Duration::from_secs(240), "{what}");
            std::thread::sleep(Duration::from_millis(100));
        };
        let pid = loop {
            match holder(folder.path()) {
                Some(pid) => break pid,
                None => wait("the project was not opened"),
            }
        };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let ended = loop {
            match window.program.try_wait().unwrap() {
                Some(ended) => break ended,
                None => wait("the window stayed open"),
            }
        };
        assert!(ended.success(), "{signal}: {ended}, {}", window.said());
        // Given back: the next start does not take it for one that a crash has left.
        assert_eq!(std::fs::read(folder.path().join("project.lock")).unwrap(), b"", "{signal}");
    }
}

/// A second start with a file hands it to the window, and ends.
#[test]
fn a_later_start_hands_its_files_to_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let Some(display) = Display::open() else { return };
    let project = folder.path().join("project");
    let histokin = || {
        let mut command = display.command(env!("CARGO_BIN_EXE_histokin"));
        for variable in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(variable);
        }
        command.env_remove("HISTOKIN_LOG").env("HOME", folder.path()).stdout(Stdio::null());
        command
    };
    let mut first = histokin().arg("--project").arg(&project).stderr(Stdio::null()).spawn().unwrap();
    let sockets = || {
        let files =
            std::fs::read_dir(folder.path().join(".local/share/histokin")).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|end| end == "socket")).count()
    };
    let timeout = Instant::now();
    let mut wait = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(first.try_wait().unwrap().is_none(), "the window closed by itself");
            assert!(timeout.elapsed() < Duration::from_secs(240), "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait("the window listens", &|| sockets() == 1);
    // It takes files in its frames; the first one may take long here.
    let log = folder.path().join(".local/state/histokin/histokin.log");
    let logged = || std::fs::read_to_string(&log).unwrap_or_default();
    wait("the window is drawn", &|| logged().contains("first frame painted"));
    let second = histokin().arg(asset("slides/CMU-1-Small-Region.svs")).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.success() && said.contains("--new-window"), "{said}");
    let listed = || std::fs::read_to_string(project.join("project.toml")).unwrap_or_default();
    wait("the slide is in the window's project", &|| listed().contains("CMU-1-Small-Region.svs"));
    // Ended properly, it takes its socket with it.
    assert!(Command::new("kill").arg(first.id().to_string()).status().unwrap().success());
    assert!(first.wait().unwrap().success());
    assert_eq!(sockets(), 0);
}

#[test]
fn without_a_display_the_window_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.arg("--project").arg(folder.path()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let output = command.assert().failure().get_output().clone();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("DISPLAY"), "{message}");
}

/// Where nothing can draw, the message says what to install.
#[test]
fn without_a_graphics_driver_the_window_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let hidden = folder.path().join("no-driver");
    let Some(display) = Display::open() else { return };
    for arguments in [&[][..], &["--safe-gpu"]] {
        let output = display
            .command(env!("CARGO_BIN_EXE_histokin"))
            .args(arguments)
            .arg("--project")
            .arg(folder.path())
            .env("HOME", folder.path())
            .envs(
                ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"]
                    .map(|name| (name, &hidden)),
            )
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{message}");
        assert!(message.contains("apt install mesa-vulkan-drivers"), "{message}");
    }
}

/// Opens the window on `$2…`, pans and zooms once it is up, and has all calls that touch files, and those by which the thread
/// that draws learns of events, traced into `$TRACE`. Ends with 77 where the machine does not let it.
const PAN_UNDER_STRACE: &str = r#"
for tool in strace xdotool; do command -v $tool > "$TRACE" || exit 77; done
"$1" --project "$2" "$3" > /dev/null &
app=$!
trap 'kill $app 2> /dev/null' EXIT
tries=0
until xdotool search --name histokin > "$TRACE" 2> /dev/null; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || exit 77
    kill -0 $app 2> /dev/null || { wait $app; echo "the window closed by itself: $?" >&2; exit 1; }
    sleep 0.2
done
sleep 8
strace -f -y -e trace=%file,read,pread64,readv,preadv,recvmsg -o "$TRACE" -p $app 2> /dev/null &
strace=$!
sleep 2
kill -0 $strace || exit 77
for turn in 1 2 3; do
    xdotool mousemove 600 420; sleep 0.3; xdotool mousedown 1; sleep 0.3
    xdotool mousemove 460 330; sleep 0.3; xdotool mousemove 560 480; sleep 0.3; xdotool mouseup 1
    xdotool key plus; sleep 0.3; xdotool key Left; sleep 0.3
done
xdotool key 7; sleep 3
# Beside other tests, a frame may take long.
tries=0
until grep -q "^$app .*recvmsg" "$TRACE" || [ $tries -ge 300 ]; do tries=$((tries + 1)); sleep 0.2; done
sleep 1
kill $strace; wait $strace
echo $app
"#;

#[test]
fn the_thread_that_draws_touches_no_file_of_slide_or_project_while_the_view_pans() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let slide = data.path().join("slide.svs");
    std::fs::copy(asset("slides/CMU-1-Small-Region.svs"), &slide).unwrap();
    let trace = home.path().join("trace");
    let Some(display) = Display::open() else { return };
    let output = display
        .command("sh")
        .args(["-c", PAN_UNDER_STRACE, "sh"])
        .arg(env!("CARGO_BIN_EXE_histokin"))
        .arg(data.path().join("project"))
        .arg(&slide)
        .env("HOME", home.path())
        .env("TRACE", &trace)
        .output()
        .unwrap();
    if output.status.code() == Some(77) {
        crate::support::skipped::skip(format_args!("the window cannot be traced here"));
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let window = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let trace = std::fs::read_to_string(trace).unwrap();
    let folder = data.path().to_str().unwrap();
    // Each line begins with the number of its thread; the first thread has that of the process, and draws.
    let drawing: Vec<&str> =
        trace.lines().filter(|line| line.split_whitespace().next() == Some(window.as_str())).collect();
    assert!(!drawing.is_empty(), "its calls were seen, if only those by which it learns of events");
    let touching: Vec<&&str> = drawing.iter().filter(|line| line.contains(folder)).collect();
    assert_eq!(touching, Vec::<&&str>::new());
}
