//! Opening the window, and reopening it when the graphics device is lost: which driver draws it, and how long
//! the start took.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew};
use eframe::wgpu;

use super::window::{Handover, Window};
use super::{ShutdownRequest, WindowOptions, relaunch};
use crate::crash;
use crate::platform;
use crate::project::Project;

/// A driver whose device lasted for less than this is not tried again: the next driver draws the window.
const LASTING: Duration = Duration::from_secs(60);

/// Where a driver that draws without a graphics card is found, in brackets; empty where the system has it or there is none.
pub(super) const SOFTWARE_DRIVER: &str =
    if cfg!(target_os = "linux") { " (on Debian and Ubuntu `apt install mesa-vulkan-drivers`)" } else { "" };

/// Graphics drivers that may draw the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drivers {
    /// Vulkan if available, otherwise OpenGL.
    Any,
    /// OpenGL only, which works better on old and virtual machines.
    OpenGl,
}

impl Drivers {
    /// Drivers to try, in this order: a Vulkan driver may be installed and still draw nothing.
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

/// The icon of the window. Without one, the window has egui's, and neither Windows nor X takes that of the program or of its
/// menu entry in its place.
fn icon() -> egui::IconData {
    eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icon.png")).unwrap_or_default()
}

/// Options of the window, to be drawn by `drivers`.
pub(super) fn native_options(drivers: Drivers) -> eframe::NativeOptions {
    eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("histokin")
            .with_app_id("histokin")
            .with_icon(icon())
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
    /// The user closed it.
    Closed,
    /// These drivers have no device; holds the driver's message.
    NoDevice(String),
    /// The device was lost after drawing; holds the driver's message.
    Lost(String),
    /// The device was lost in the middle of a frame, from which egui cannot recover: the window's state is
    /// lost.
    LostInFrame(String),
}

/// Draws the window until the user closes it: with the best driver that has a device, and in a new window
/// with a new device when that is lost.
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
            // Release the project, so that the next start does not treat it as left by a crash.
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

/// How drawing ended.
#[derive(Debug, PartialEq)]
enum Drawn {
    /// The user closed the window.
    UntilClosed,
    /// The device was lost in the middle of a frame; holds the driver's message.
    UntilLostInFrame(String),
    /// Every driver failed, for these reasons.
    ByNone(Vec<String>),
}

/// Draws with each of `drivers` in turn. `show` opens a window and returns how it ended and how long it
/// lasted. A driver that drew for long is tried again; one that has no device, or loses it soon, is followed
/// by the next.
fn by_turns(
    drivers: &[Drivers],
    mut show: impl FnMut(Drivers) -> anyhow::Result<(Ended, Duration)>,
) -> anyhow::Result<Drawn> {
    let mut reasons = Vec::new();
    for &driver in drivers {
        reasons.push(loop {
            match show(driver)? {
                (Ended::Closed, _) => return Ok(Drawn::UntilClosed),
                (Ended::LostInFrame(reason), _) => return Ok(Drawn::UntilLostInFrame(reason)),
                (Ended::Lost(_), lasted) if lasted >= LASTING => {}
                (Ended::Lost(reason) | Ended::NoDevice(reason), _) => {
                    tracing::warn!(drivers = ?driver, %reason, "this driver does not draw the window");
                    break reason;
                }
            }
        });
    }
    Ok(Drawn::ByNone(reasons))
}

/// Shows one window from opening to end.
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

/// Message for the user when every device was lost soon after the window was opened.
fn lost_for_good(reasons: &[String]) -> String {
    format!(
        "the graphics card keeps failing ({}), so the window was closed. Everything that could be saved has \
         been saved, and embedding and training continue at the next start. Restart the computer or update the \
         graphics driver; until then `histokin --safe-gpu`, or a driver that draws without a card{}, may draw the \
         window",
        reasons.join("; "),
        SOFTWARE_DRIVER
    )
}

/// Message for the user when no driver draws the window; `reasons` are the drivers' messages.
pub(super) fn no_driver(reasons: &[String]) -> String {
    let advice = if cfg!(target_os = "linux") {
        "Install the driver of the graphics card, or one that draws without a card: on Debian and Ubuntu `apt install \
         mesa-vulkan-drivers libegl1 libgl1-mesa-dri`, on Fedora `dnf install mesa-vulkan-drivers mesa-dri-drivers \
         mesa-libEGL`, on Arch `pacman -S vulkan-swrast mesa`"
    } else if cfg!(windows) {
        "Install the newest driver of the graphics card from its maker, or through Windows Update; a remote desktop or a \
         virtual machine may have none that draws"
    } else {
        "Install the newest driver of the graphics card, or the newest version of the system"
    };
    format!(
        "the window could not be opened: no graphics driver draws it ({}). {advice}. The subcommands (`histokin --help`) \
         need no graphics",
        reasons.join("; ")
    )
}

/// Graphics card and driver that draw the window, for display.
pub(super) fn graphics(gpu: &RenderState) -> String {
    let info = gpu.adapter.get_info();
    format!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info)
}

/// Logs the time from the start of the process to the first painted frame.
#[derive(Debug, Default)]
pub(super) struct StartClock {
    frames: u32,
}

impl StartClock {
    /// Counts a frame; the previous one has been painted.
    pub(super) fn frame(&mut self) {
        self.frames = self.frames.saturating_add(1);
        if self.frames == 2
            && let Some(age) = platform::process_age()
        {
            tracing::info!("first frame painted {:.2} s after the process began", age.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_its_own_icon() {
        let icon = native_options(Drivers::Any).viewport.icon.unwrap();
        assert_eq!((icon.width, icon.height), (256, 256));
        let tile = (115 * 256 + 185) * 4;
        assert_eq!(icon.rgba[tile..tile + 4], [0xe6, 0x82, 0x1e, 0xff], "the tile that was clicked");
    }

    #[test]
    fn opengl_is_tried_where_vulkan_fails_and_alone_when_asked_for() {
        assert_eq!(Drivers::to_try(false), [Drivers::Any, Drivers::OpenGl]);
        assert_eq!(Drivers::to_try(true), [Drivers::OpenGl]);
        let WgpuSetup::CreateNew(setup) = native_options(Drivers::OpenGl).wgpu_options.wgpu_setup else {
            panic!("a new instance is created");
        };
        assert_eq!(setup.instance_descriptor.backends, wgpu::Backends::GL);
    }

    /// Outcome of a sequence of windows that end like this, and the drivers that drew them.
    fn drawn(ends: Vec<(Ended, u64)>) -> (Drawn, Vec<Drivers>) {
        let (mut ends, mut requests) = (ends.into_iter(), Vec::new());
        let drawn = by_turns(Drivers::to_try(false), |drivers| {
            requests.push(drivers);
            let (ended, seconds) = ends.next().expect("no more windows are opened");
            Ok((ended, Duration::from_secs(seconds)))
        });
        assert_eq!(ends.len(), 0, "all of these windows were opened");
        (drawn.unwrap(), requests)
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
        let ends = vec![
            (Ended::Lost("reset".to_owned()), 100),
            (Ended::Lost("reset twice".to_owned()), 2),
            (Ended::NoDevice("no device".to_owned()), 0),
        ];
        let (Drawn::ByNone(reasons), _) = drawn(ends) else { panic!("no driver is left") };
        assert_eq!(reasons, ["reset twice", "no device"]);
        let message = lost_for_good(&reasons);
        assert!(message.contains("reset twice; no device") && message.contains("--safe-gpu"), "{message}");
        for message in [message, no_driver(&reasons)] {
            assert_eq!(message.contains("apt install"), cfg!(target_os = "linux"), "{message}");
        }
    }
}
