//! The real window, in a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::asset;

/// The window under a virtual display; the whole group of processes ends with this.
struct Window(Child);

impl Window {
    fn open(project: &Path) -> Option<Self> {
        use std::os::unix::process::CommandExt;
        let child = Command::new("xvfb-run")
            .args(["-a", "-s", "-screen 0 1280x800x24", env!("CARGO_BIN_EXE_histokin")])
            .arg("--project")
            .arg(project)
            .arg(asset("slides"))
            .env("HOME", project)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        child.ok().map(Self)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn finished(project: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(project.join("descriptors")) else { return 0 };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "safetensors")).count()
}

#[test]
fn the_window_opens_and_embeds_both_demonstration_slides() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut window) = Window::open(folder.path()) else {
        println!("skipped: there is no xvfb-run here");
        return;
    };
    // No bound on speed: only an end to waiting for something that will never come.
    let patience = Instant::now();
    while finished(folder.path()) < 2 {
        assert!(window.0.try_wait().unwrap().is_none(), "the window closed by itself");
        assert!(patience.elapsed() < Duration::from_secs(240), "nothing was embedded");
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
        let Some(mut window) = Window::open(folder.path()) else {
            println!("skipped: there is no xvfb-run here");
            return;
        };
        let patience = Instant::now();
        let wait = |what: &str| {
            assert!(patience.elapsed() < Duration::from_secs(240), "{what}");
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
            match window.0.try_wait().unwrap() {
                Some(ended) => break ended,
                None => wait("the window stayed open"),
            }
        };
        assert!(ended.success(), "{signal}: {ended}");
        // Given back: the next start does not take it for one that a crash has left.
        assert_eq!(std::fs::read(folder.path().join("project.lock")).unwrap(), b"", "{signal}");
    }
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
    for arguments in [&[][..], &["--safe-gpu"]] {
        let output = Command::new("xvfb-run")
            .args(["-a", env!("CARGO_BIN_EXE_histokin")])
            .args(arguments)
            .arg("--project")
            .arg(folder.path())
            .env("HOME", folder.path())
            .envs(
                ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"]
                    .map(|name| (name, &hidden)),
            )
            .output();
        let Ok(output) = output else {
            println!("skipped: there is no xvfb-run here");
            return;
        };
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{message}");
        assert!(message.contains("apt install mesa-vulkan-drivers"), "{message}");
    }
}

/// Opens the window on `$2…`, pans and zooms once it is up, and has all calls that touch files traced into `$TRACE`.
/// Ends with 77 where the machine does not let it.
const PAN_UNDER_STRACE: &str = r#"
for tool in strace xdotool; do command -v $tool > "$TRACE" || exit 77; done
"$1" --project "$2" "$3" > /dev/null 2>&1 &
app=$!
trap 'kill $app' EXIT
tries=0
until xdotool search --name histokin > "$TRACE" 2> /dev/null; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || exit 77
    kill -0 $app || exit 1
    sleep 0.2
done
sleep 8
strace -f -y -e trace=%file,read,pread64,readv,preadv -o "$TRACE" -p $app 2> /dev/null &
strace=$!
sleep 2
kill -0 $strace || exit 77
for turn in 1 2 3; do
    xdotool mousemove 600 420; sleep 0.3; xdotool mousedown 1; sleep 0.3
    xdotool mousemove 460 330; sleep 0.3; xdotool mousemove 560 480; sleep 0.3; xdotool mouseup 1
    xdotool key plus; sleep 0.3; xdotool key Left; sleep 0.3
done
xdotool key 7; sleep 3
kill $strace; wait $strace
echo $app
"#;

#[test]
fn the_thread_that_draws_touches_no_file_of_slide_or_project_while_the_view_pans() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let slide = data.path().join("slide.svs");
    std::fs::copy(asset("slides/CMU-1-Small-Region.svs"), &slide).unwrap();
    let trace = home.path().join("trace");
    let output = Command::new("xvfb-run")
        .args(["-a", "-s", "-screen 0 1280x800x24", "sh", "-c", PAN_UNDER_STRACE, "sh"])
        .arg(env!("CARGO_BIN_EXE_histokin"))
        .arg(data.path().join("project"))
        .arg(&slide)
        .env("HOME", home.path())
        .env("TRACE", &trace)
        .output();
    let Ok(output) = output else {
        println!("skipped: there is no xvfb-run here");
        return;
    };
    if output.status.code() == Some(77) {
        println!("skipped: the window cannot be traced here");
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let window = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let trace = std::fs::read_to_string(trace).unwrap();
    let folder = data.path().to_str().unwrap();
    // Each line begins with the number of its thread; the first thread has that of the process, and draws.
    let drawing: Vec<&str> =
        trace.lines().filter(|line| line.split_whitespace().next() == Some(window.as_str())).collect();
    assert!(!drawing.is_empty(), "its calls were seen, if only those by which it is woken");
    let touching: Vec<&&str> = drawing.iter().filter(|line| line.contains(folder)).collect();
    assert_eq!(touching, Vec::<&&str>::new());
}
