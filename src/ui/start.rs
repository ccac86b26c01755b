//! How the window gets onto the screen, and back onto it when the graphics device is lost: which driver draws it, and
//! how long that took.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew};
use eframe::wgpu;

use super::window::{Handover, Window};
use super::{ShutdownRequest, WindowOptions, relaunch};
use crate::crash;
use crate::project::Project;

/// A device that lasted for less than this is not asked for again: the next driver draws the window.
const LASTING: Duration = Duration::from_secs(60);

/// Which drivers may draw the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drivers {
    /// The best there is: Vulkan, else OpenGL.
    Any,
    /// OpenGL only, which old and virtual machines do better.
    OpenGl,
}

impl Drivers {
    /// What to try, one after the other: a Vulkan driver may be there and still draw nothing.
    pub(super) fn to_try(is_safe: bool) -> &'static [Self] {
        if is_safe { &[Self::OpenGl] } else { &[Self::Any, Self::OpenGl] }
    }

    fn configuration(self) -> WgpuConfiguration {
        let mut setup = WgpuSetupCreateNew::without_display_handle();
        if self == Self::OpenGl {
            setup.instance_descriptor.backends = wgpu::Backends::GL;
        }
        WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..WgpuConfiguration::default() }
    }
}

/// The window as it is asked for, to be drawn by `drivers`.
pub(super) fn native_options(drivers: Drivers) -> eframe::NativeOptions {
    eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("histokin")
            .with_app_id("histokin")
            .with_inner_size([1440.0, 900.0])
            .with_min_inner_size([720.0, 480.0])
            .with_drag_and_drop(true),
        // Dithering would change the slide's colours.
        dithering: false,
        wgpu_options: drivers.configuration(),
        ..Default::default()
    }
}

/// How a window ended.
#[derive(Debug)]
enum Ended {
    Closed,
    /// There is no device of these drivers, in the driver's words.
    NoDevice(String),
    /// The device drew, and was lost.
    Lost(String),
    /// It was lost in the middle of a frame, where egui knows no way out: all of the window is gone.
    LostInFrame(String),
}

/// Draw the window until the user closes it: with the best driver that has a device, and with a new device, in a new
/// window, when that is lost.
pub(super) fn draw(
    project: Project,
    options: &WindowOptions,
    shutdown: ShutdownRequest,
) -> anyhow::Result<()> {
    let handover = Rc::new(Handover::of(shutdown));
    let drawn = by_turns(Drivers::to_try(options.safe_gpu), |drivers| {
        let opened = Instant::now();
        let ended = show(drivers, &project, options, &handover)?;
        Ok((ended, opened.elapsed()))
    });
    match drawn? {
        Drawn::UntilClosed => Ok(()),
        Drawn::UntilLostInFrame(reason) => {
            // Given back, so that the next start need not take it for one that a crash has left.
            drop(project);
            Err(relaunch::relaunch(&reason))
        }
        Drawn::ByNone(reasons) if handover.reason().is_none() => anyhow::bail!(no_driver(&reasons)),
        Drawn::ByNone(reasons) => {
            handover.finish();
            anyhow::bail!(lost_for_good(&reasons))
        }
    }
}

/// How drawing has ended.
#[derive(Debug, PartialEq)]
enum Drawn {
    UntilClosed,
    UntilLostInFrame(String),
    /// Every driver has failed, for these reasons.
    ByNone(Vec<String>),
}

/// Have each of `drivers` draw as long as it does: `show` opens a window and tells how it ended and how long that took.
/// One that draws for long is asked again; one that has no device, or loses it soon, is followed by the next.
fn by_turns(
    drivers: &[Drivers],
    mut show: impl FnMut(Drivers) -> anyhow::Result<(Ended, Duration)>,
) -> anyhow::Result<Drawn> {
    let mut reasons = Vec::new();
    for &with in drivers {
        reasons.push(loop {
            match show(with)? {
                (Ended::Closed, _) => return Ok(Drawn::UntilClosed),
                (Ended::LostInFrame(reason), _) => return Ok(Drawn::UntilLostInFrame(reason)),
                (Ended::Lost(_), lasted) if lasted >= LASTING => {}
                (Ended::Lost(reason) | Ended::NoDevice(reason), _) => {
                    tracing::warn!(drivers = ?with, %reason, "this driver does not draw the window");
                    break reason;
                }
            }
        });
    }
    Ok(Drawn::ByNone(reasons))
}

/// One window, from its opening to its end.
fn show(
    drivers: Drivers,
    project: &Project,
    options: &WindowOptions,
    handover: &Rc<Handover>,
) -> anyhow::Result<Ended> {
    let mut native = native_options(drivers);
    native.viewport = handover.place(native.viewport);
    let outcome = crash::catch("Drawing the window", || {
        let (project, options, handover) = (project.clone(), options.clone(), handover.clone());
        eframe::run_native(
            "histokin",
            native,
            Box::new(|context| {
                Window::open(context, project, options, handover)
                    .map(|window| Box::new(window) as Box<dyn eframe::App>)
                    .map_err(Into::into)
            }),
        )
    });
    match outcome {
        Ok(Ok(())) => Ok(handover.reason().map_or(Ended::Closed, Ended::Lost)),
        Ok(Err(eframe::Error::Wgpu(error))) => Ok(Ended::NoDevice(error.to_string())),
        Ok(Err(error)) => Err(anyhow::anyhow!("{error}")).context("the window could not be opened"),
        Err(crash) => {
            tracing::error!("{}", crash.report);
            let lost = handover.lost().map(Ended::LostInFrame);
            lost.ok_or_else(|| anyhow::anyhow!("{}", crash.summary))
        }
    }
}

/// What to tell when every device was lost soon after the window was opened.
fn lost_for_good(reasons: &[String]) -> String {
    format!(
        "the graphics card stops drawing again and again ({}), so the window was closed. All that could be saved is \
         saved, and embedding and training go on at the next start. Restart the computer or update the card's driver; \
         until then `histokin --safe-gpu`, or a driver that draws without a card (on Debian and Ubuntu `apt install \
         mesa-vulkan-drivers`), may draw the window",
        reasons.join("; ")
    )
}

/// What to tell when no driver draws the window; `reasons` in the drivers' own words.
pub(super) fn no_driver(reasons: &[String]) -> String {
    format!(
        "the window could not be opened: no graphics driver draws it ({}). Install the driver of the graphics \
         card, or one that draws without a card: on Debian and Ubuntu `apt install mesa-vulkan-drivers libegl1 \
         libgl1-mesa-dri`, on Fedora `dnf install mesa-vulkan-drivers mesa-dri-drivers mesa-libEGL`, on Arch \
         `pacman -S vulkan-swrast mesa`. The subcommands (`histokin --help`) need no graphics",
        reasons.join("; ")
    )
}

/// Card and driver that draw the window, for people.
pub(super) fn graphics(gpu: &RenderState) -> String {
    let info = gpu.adapter.get_info();
    format!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info)
}

/// Tells in the log how long the process took to its first painted frame.
#[derive(Debug, Default)]
pub(super) struct StartClock {
    frames: u32,
}

impl StartClock {
    /// A frame begins; the one before it has been painted.
    pub(super) fn frame(&mut self) {
        self.frames = self.frames.saturating_add(1);
        if self.frames == 2
            && let Some(age) = process_age()
        {
            tracing::info!("first frame painted {:.2} s after the process began", age.as_secs_f64());
        }
    }
}

/// How long this process runs, to a hundredth of a second, where the system tells.
fn process_age() -> Option<Duration> {
    // The 22nd field, in hundredths of a second since the machine started; the second one, the name in
    // brackets, may hold spaces.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let begun = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse::<f64>().ok()? / 100.0;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now = uptime.split_whitespace().next()?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(now - begun).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opengl_is_tried_where_vulkan_fails_and_alone_when_asked_for() {
        assert_eq!(Drivers::to_try(false), [Drivers::Any, Drivers::OpenGl]);
        assert_eq!(Drivers::to_try(true), [Drivers::OpenGl]);
        let WgpuSetup::CreateNew(setup) = native_options(Drivers::OpenGl).wgpu_options.wgpu_setup else {
            panic!("a new instance is made");
        };
        assert_eq!(setup.instance_descriptor.backends, wgpu::Backends::GL);
    }

    /// What becomes of windows that end like this, one after the other, and by which drivers they were drawn.
    fn drawn(ends: Vec<(Ended, u64)>) -> (Drawn, Vec<Drivers>) {
        let (mut ends, mut asked) = (ends.into_iter(), Vec::new());
        let drawn = by_turns(Drivers::to_try(false), |drivers| {
            asked.push(drivers);
            let (ended, seconds) = ends.next().expect("no more windows are opened");
            Ok((ended, Duration::from_secs(seconds)))
        });
        assert_eq!(ends.len(), 0, "all of these windows were opened");
        (drawn.unwrap(), asked)
    }

    #[test]
    fn a_driver_that_fails_is_followed_by_the_next_and_one_that_lasted_is_asked_again() {
        use Drivers::{Any, OpenGl};
        let lost = || Ended::Lost("reset".to_owned());
        let none = || Ended::NoDevice("no device".to_owned());
        assert_eq!(drawn(vec![(Ended::Closed, 9)]), (Drawn::UntilClosed, vec![Any]));
        assert_eq!(drawn(vec![(none(), 0), (Ended::Closed, 9)]), (Drawn::UntilClosed, vec![Any, OpenGl]));
        let hours = vec![(lost(), 7200), (lost(), 3600), (Ended::Closed, 9)];
        assert_eq!(drawn(hours), (Drawn::UntilClosed, vec![Any; 3]));
        let soon = vec![(lost(), 3), (lost(), 120), (Ended::Closed, 9)];
        assert_eq!(drawn(soon), (Drawn::UntilClosed, vec![Any, OpenGl, OpenGl]));
        let in_frame = vec![(Ended::LostInFrame("torn".to_owned()), 1)];
        assert_eq!(drawn(in_frame), (Drawn::UntilLostInFrame("torn".to_owned()), vec![Any]));
    }

    #[test]
    fn when_every_driver_is_gone_all_reasons_are_told() {
        let gone = vec![
            (Ended::Lost("reset".to_owned()), 100),
            (Ended::Lost("reset twice".to_owned()), 2),
            (Ended::NoDevice("no device".to_owned()), 0),
        ];
        let (Drawn::ByNone(reasons), _) = drawn(gone) else { panic!("no driver is left") };
        assert_eq!(reasons, ["reset twice", "no device"]);
        let told = lost_for_good(&reasons);
        assert!(told.contains("reset twice; no device") && told.contains("--safe-gpu"), "{told}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_knows_its_age() {
        let age = process_age().expect("Linux tells");
        assert!(age < Duration::from_secs(24 * 3600), "{age:?}");
    }
}
