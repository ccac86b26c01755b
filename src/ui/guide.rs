//! The guide, offline: its Markdown files are made into pages that a browser shows.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

use super::shipped;
use crate::durable;

/// Look of the pages, in dark and light browsers.
const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0; display: flex; }
nav { flex: 0 0 15rem; padding: 1.5rem; font-size: 0.9rem; }
nav ul { list-style: none; padding-left: 0.8rem; } nav > ul { padding-left: 0; }
main { max-width: 46rem; padding: 1rem 2rem 4rem; }
img { max-width: 100%; } pre { overflow-x: auto; padding: 0.8rem; background: #8882; }
table { border-collapse: collapse; } td, th { border: 1px solid #8885; padding: 0.3rem 0.6rem; text-align: left; }
a { color: #0b8075; } @media (prefers-color-scheme: dark) { a { color: #2ec4b6; } }
@media (max-width: 50rem) { body { display: block; } }
";

/// Opens the guide on a thread of its own, since making pages and starting a browser take a moment.
#[derive(Default)]
pub struct Guide {
    failure: Option<Receiver<String>>,
}

impl Guide {
    /// Opens the guide in the browser; `wake` is called if that fails.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn open(&mut self, wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<()> {
        let (sender, failure) = bounded(1);
        std::thread::Builder::new().name("guide".into()).spawn(move || {
            // The window may have been closed meanwhile; then the reason is not needed.
            if let Err(reason) = open()
                && sender.send(reason).is_ok()
            {
                wake();
            }
        })?;
        self.failure = Some(failure);
        Ok(())
    }

    /// Returns once why the guide could not be opened.
    pub fn take_failure(&mut self) -> Option<String> {
        self.failure.as_ref()?.try_recv().ok()
    }
}

fn open() -> Result<(), String> {
    let guide = shipped::guide().ok_or(
        "The guide was not found beside the program. It is the folder docs/guide of the package, and is also on the \
         project's page on the web",
    )?;
    let docs = guide.parent().unwrap_or(&guide);
    let not_made = |reason: &dyn std::fmt::Display| {
        format!("The pages of the guide could not be written: {reason}. Its text is in {}", guide.display())
    };
    let folders = directories::ProjectDirs::from("", "", "histokin")
        .ok_or_else(|| not_made(&"your home folder is unknown"))?;
    let first = make_pages(docs, &folders.cache_dir().join("guide")).map_err(|error| not_made(&error))?;
    start_browser(&first).map_err(|reason| {
        format!("The guide could not be opened: {reason}. Open it in a browser: {}", first.display())
    })
}

/// Opens a file in the program that the desktop has for it.
fn start_browser(page: &Path) -> Result<(), String> {
    let (program, arguments): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("cmd", &["/C", "start", ""]),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{program} found no program that opens it")),
        Err(error) => Err(format!("{program} could not be started ({error})")),
    }
}

/// Makes a page in `pages` of every Markdown file of `docs` and of its folder `guide`; returns the first page.
fn make_pages(docs: &Path, pages: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(pages.join("guide"))?;
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md"))?;
    for folder in ["", "guide"] {
        for file in std::fs::read_dir(docs.join(folder))?.flatten() {
            let path = file.path();
            let Some(name) = path.file_stem().filter(|_| path.extension().is_some_and(|end| end == "md"))
            else {
                continue;
            };
            let text = std::fs::read_to_string(&path)?;
            let up = if folder.is_empty() { "" } else { "../" };
            let page = page(&text, &summary, &docs.join(folder), up);
            let to = pages.join(folder).join(name).with_extension("html");
            durable::write(&to, page.as_bytes())?;
        }
    }
    Ok(pages.join("README.html"))
}

/// Returns the page of a Markdown text in `folder`; `up` leads from the page to the folder of all pages.
fn page(text: &str, summary: &str, folder: &Path, up: &str) -> String {
    let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("The histokin guide");
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write!(page, "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>");
    let _ = write!(page, "<style>{STYLE}</style><body><nav>");
    html::push_html(&mut page, parse(summary, &|link| format!("{up}{}", page_of(link))));
    page.push_str("</nav><main>");
    let here = |link: &str| {
        let file = folder.join(link.split('#').next().unwrap_or_default());
        let docs = if up.is_empty() { Some(folder) } else { folder.parent() };
        // Pages are made of the files of the guide alone; others are shown as they are.
        let is_page = file.extension().is_some_and(|end| end == "md")
            && file
                .canonicalize()
                .ok()
                .zip(docs.and_then(|docs| docs.canonicalize().ok()))
                .is_none_or(|(file, docs)| file.starts_with(docs));
        if is_page || link.starts_with('#') { page_of(link) } else { file_url(&file) }
    };
    html::push_html(&mut page, parse(text, &here));
    page.push_str("</main></body></html>");
    page
}

/// The parts of a Markdown text, with links and images within the guide led to where `lead` says, and with
/// names for its headings, to which links lead.
fn parse<'a>(text: &'a str, lead: &dyn Fn(&str) -> String) -> impl Iterator<Item = Event<'a>> {
    let mut events: Vec<Event<'a>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let is_within = |to: &str| !to.contains("://") && !to.starts_with("mailto:");
    for index in 0..events.len() {
        let words = match &events[index] {
            Event::Start(Tag::Heading { .. }) => {
                let is_end = |event: &Event<'_>| matches!(event, Event::End(TagEnd::Heading(_)));
                let inside = events[index + 1..].iter().take_while(|event| !is_end(event));
                inside
                    .filter_map(|event| match event {
                        Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
                        _ => None,
                    })
                    .collect::<String>()
            }
            _ => String::new(),
        };
        match &mut events[index] {
            Event::Start(Tag::Link { dest_url, link_type, .. })
                if is_within(dest_url) && *link_type != LinkType::Email =>
            {
                *dest_url = CowStr::from(lead(dest_url));
            }
            Event::Start(Tag::Image { dest_url, .. }) if is_within(dest_url) => {
                *dest_url = CowStr::from(lead(dest_url));
            }
            Event::Start(Tag::Heading { id, .. }) => *id = Some(CowStr::from(heading_id(&words))),
            _ => {}
        }
    }
    events.into_iter()
}

/// The name of a heading in links, as on GitHub: lower case, hyphens for spaces, no punctuation.
fn heading_id(words: &str) -> String {
    let kept = words.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

/// The page of a link to a Markdown file.
fn page_of(link: &str) -> String {
    match link.split_once('#') {
        Some((file, heading)) => format!("{}#{heading}", page_of(file)),
        None => link.strip_suffix(".md").map_or_else(|| link.to_owned(), |name| format!("{name}.html")),
    }
}

fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b':' => url.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => url.push(byte.into()),
            _ => _ = write!(url, "%{byte:02X}"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_guide_leads_to_a_page_or_a_file() {
        let docs = shipped::guide().expect("the source tree has it").parent().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let first = make_pages(&docs, folder.path()).unwrap();
        assert!(first.is_file());
        let mut links = 0;
        for page in ["", "guide"].iter().flat_map(|name| std::fs::read_dir(folder.path().join(name)).unwrap())
        {
            let page = page.unwrap().path();
            if page.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&page).unwrap();
            for link in ["href=\"", "src=\""].into_iter().flat_map(|name| text.split(name).skip(1)) {
                let Some(link) = link.split('"').next().filter(|link| !link.starts_with("http")) else {
                    continue;
                };
                let (target, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = match target.strip_prefix("file://") {
                    Some(path) => PathBuf::from(path.replace("%20", " ")),
                    None if target.is_empty() => page.clone(),
                    None => page.parent().unwrap().join(target),
                };
                assert!(target.exists(), "{link} in {}", page.display());
                if !heading.is_empty() {
                    let there = std::fs::read_to_string(&target).unwrap();
                    assert!(there.contains(&format!("id=\"{heading}\"")), "{link} in {}", page.display());
                }
                links += 1;
            }
        }
        assert!(links > 100, "{links} links were followed");
    }

    #[test]
    fn pages_have_names_for_headings_and_images_from_where_they_lie() {
        let text = "# A title\n\n## Grid & *cross-hair* lines\n\n[there](b.md#grid--cross-hair) ![x](images/a b.jpg)\n\
                    ![y](<images/a b.jpg>) [web](https://example.org)\n";
        let page = page(text, "- [B](guide/b.md)\n", Path::new("/docs/guide"), "../");
        assert!(
            page.contains("<title>A title</title>") && page.contains("id=\"grid--cross-hair-lines\""),
            "{page}"
        );
        assert!(
            page.contains("href=\"b.html#grid--cross-hair\"") && page.contains("href=\"../guide/b.html\"")
        );
        assert!(
            page.contains("src=\"file:///docs/guide/images/a%20b.jpg\"")
                && page.contains("https://example.org")
        );
    }
}
