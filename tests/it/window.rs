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
