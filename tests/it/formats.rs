//! Every kind of file opens, or says in one line why not.

use histokin::slide;

use crate::support;

#[test]
fn the_shipped_slide_opens_with_all_that_is_known_of_it() {
    let source = slide::open(&support::asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let info = source.info();
    assert_eq!((info.width(), info.height(), info.levels.len()), (2220, 2967, 1));
    assert_eq!(info.mpp.map(|mpp| mpp.x), Some(0.499));
    assert_eq!(info.objective_power, Some(20.0));
    assert_eq!(info.associated, ["label", "macro", "thumbnail"]);
}

#[test]
fn shared_formats_open_or_name_the_file_and_the_reason() {
    let Some(folder) = support::shared_data("formats") else { return };
    let expected = [
        ("cmu-1-small-region.svs", Some((2220, 2967))),
        ("tcga-cr-7395-01a-01-ts1.svs", Some((4443, 3567))),
        ("highdicom_sm_image.dcm", Some((50, 50))),
        ("kidney-48-5.tif", Some((1493, 901))),
        ("broken.svs", None),
    ];
    for (name, size) in expected {
        let path = folder.join(name);
        match slide::open(&path, None) {
            Ok(source) => assert_eq!(Some((source.info().width(), source.info().height())), size, "{name}"),
            Err(error) => {
                assert_eq!(size, None, "{error}");
                let message = error.to_string();
                assert!(message.starts_with(&path.display().to_string()), "{message}");
                assert!(!message.contains('\n'), "{message}");
            }
        }
    }
}
