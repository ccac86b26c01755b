//! Labels in a table, one tile or region per row: `slide,x,y,width,height,label[,is_tumour][,patient]`.

use std::path::Path;

use super::{Area, LabelError, Labels};
use histokin_core::geometry::Level0Rect;
use histokin_core::query::{FILE_COLUMNS, PATIENT_COLUMNS, SLIDE_COLUMNS};
use histokin_core::table::{Row, Table, TableError};

/// Reads a [`Table`] of tiles or regions in level-0 pixels. Columns may be in any order; other columns are
/// ignored, unless they state that coordinates are not level-0 pixels. Every row becomes an area, and tiles covered by it take its class.
///
/// # Errors
/// [`LabelError`] with the line of the first invalid row; a table is never read in part.
pub fn read_table(path: &Path) -> Result<Labels, LabelError> {
    let wrong = |TableError { line, reason }| LabelError::Line { path: path.to_owned(), line, reason };
    let mut table = Table::open(path).map_err(|source| LabelError::of_io(path, source))?;
    let columns = Columns::of(&table).map_err(wrong)?;
    let mut labels = Labels::default();
    let mut row = Row::default();
    while table.read_row(&mut row).map_err(wrong)? {
        columns.add_row(&row, &table, &mut labels).map_err(|reason| wrong(row.wrong(reason)))?;
    }
    if labels.slides.is_empty() {
        return Err(LabelError::file(path, "it has no rows; give one row per tile or region"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let on_numbers = table.note_on_numbers();
    labels.notes.extend(table.note.into_iter().chain(on_numbers).map(|note| format!("{name}: {note}")));
    Ok(labels)
}

/// Index of each column.
struct Columns {
    slide: usize,
    /// x, y, width, height.
    rect: [usize; 4],
    label: usize,
    is_tumour: Option<usize>,
    patient: Option<usize>,
    /// The level of the coordinates.
    level: Option<usize>,
    /// Level-0 pixels per unit of the coordinates.
    downsample: Option<usize>,
    /// The unit of the coordinates.
    unit: Option<usize>,
}

impl Columns {
    fn of(table: &Table) -> Result<Self, TableError> {
        let need = |names: &[&str]| {
            table.column(names)?.ok_or_else(|| {
                TableError::of_header(format!(
                    "there is no column {:?}; the first line must name slide, x, y, width, height and label, but names {}",
                    names[0],
                    table.shown_header()
                ))
            })
        };
        let slides: Vec<&str> = SLIDE_COLUMNS.into_iter().chain(FILE_COLUMNS).collect();
        Ok(Self {
            slide: need(&slides)?,
            rect: [need(&["x"])?, need(&["y"])?, need(&["width", "w"])?, need(&["height", "h"])?],
            label: need(&["label", "class"])?,
            is_tumour: table.column(&["istumour", "istumor"])?,
            patient: table.column(&PATIENT_COLUMNS)?,
            level: table.column(&["level", "patchlevel"])?,
            downsample: table.column(&["downsample", "leveldownsample"])?,
            unit: table.column(&["unit", "units"])?,
        })
    }

    /// # Errors
    /// A message, when the row states that its coordinates are not level-0 pixels.
    fn require_pixels(&self, row: &Row, table: &Table) -> Result<(), String> {
        let stated =
            |column: Option<usize>| column.map(|column| row.value(column)).filter(|text| !text.is_empty());
        let is = |text: &str, expected: f64| table.number(text).is_none_or(|number| number == expected);
        let wrong = match (stated(self.level), stated(self.downsample), stated(self.unit)) {
            (Some(level), ..) if !is(level, 0.0) => format!("its level is {level}"),
            (_, Some(downsample), _) if !is(downsample, 1.0) => format!("its downsample is {downsample}"),
            (.., Some(unit)) if !["px", "pixel", "pixels"].contains(&unit.to_lowercase().as_str()) => {
                format!("its unit is {unit}")
            }
            _ => return Ok(()),
        };
        Err(format!("{wrong}, but x, y, width and height have to be level-0 pixels; convert them"))
    }

    /// Adds the area in a row to `labels`.
    fn add_row(&self, row: &Row, table: &Table, labels: &mut Labels) -> Result<(), String> {
        let text = |column: usize| row.text(column);
        let number = |column: usize| {
            let text = text(column);
            table.number(text).ok_or_else(|| format!("{text:?} is not a number"))
        };
        self.require_pixels(row, table)?;
        let [x, y, width, height] = self.rect;
        let (width, height) = (number(width)?, number(height)?);
        if !(0.5..=4e9).contains(&width) || !(0.5..=4e9).contains(&height) {
            return Err(format!("a width of {width} and a height of {height} pixels give no area"));
        }
        let rect = Level0Rect::new(
            number(x)?.round() as i64,
            number(y)?.round() as i64,
            width.round() as u32,
            height.round() as u32,
        );
        let (slide, class) = (text(self.slide), row.value(self.label));
        if slide.is_empty() || class.is_empty() {
            return Err(
                "the slide or the label is empty or missing (NA); leave out tiles without a label".to_owned()
            );
        }
        let areas = &mut labels.slides.entry(slide.to_owned()).or_default().areas;
        areas.entry(class.to_owned()).or_default().push(Area::rectangle(&rect));
        if let Some(column) = self.is_tumour {
            let is_tumour = match text(column).to_lowercase().as_str() {
                "1" | "true" | "yes" => true,
                "" | "0" | "false" | "no" => false,
                other => return Err(format!("is_tumour is {other:?}; give 1 or 0")),
            };
            if is_tumour && !labels.tumour_classes.iter().any(|known| known == class) {
                labels.tumour_classes.push(class.to_owned());
            }
        }
        if let Some(patient) =
            self.patient.map(|column| row.value(column)).filter(|patient| !patient.is_empty())
        {
            let known = labels.patients.entry(slide.to_owned()).or_insert_with(|| patient.to_owned());
            if known != patient {
                return Err(format!("slide {slide} is of patient {patient} here, but of {known} before"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Labels, LabelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read_table(&path)
    }

    #[test]
    fn columns_are_found_by_name() {
        let labels =
            read("label,slide,x,y,width,height,is_tumour,patient,more\nSCC,a.svs,1,2,30,40,1,P1,x\n")
                .unwrap();
        assert_eq!(labels.tumour_classes, ["SCC"]);
        assert_eq!(labels.patients["a.svs"], "P1");
        let area = &labels.slides["a.svs"].areas["SCC"][0];
        assert_eq!(*area, Area::rectangle(&Level0Rect::new(1, 2, 30, 40)));
    }

    #[test]
    fn tables_of_spreadsheets_in_other_languages_are_read() {
        let labels =
            read("\u{feff}Slide;X;Y;Width;Height;Label\r\na.svs;1,0;2,0;30,0;40,0;\"Fett; Haut\"\r\n")
                .unwrap();
        let area = &labels.slides["a.svs"].areas["Fett; Haut"][0];
        assert_eq!(*area, Area::rectangle(&Level0Rect::new(1, 2, 30, 40)));
        assert!(labels.notes.is_empty(), "{:?}", labels.notes);
        let labels =
            read(b"sep=;\r\nSlide ID;X;Y;Width;Height;Class\r\na;1;2;30;40;Dr\xfcse\r\n;;;;;\r\n".as_slice())
                .unwrap();
        assert_eq!(labels.classes(), ["Drüse"]);
        assert!(labels.notes[0].starts_with("labels.csv: ") && labels.notes[0].contains("Windows-1252"));
        let labels = read("slide,x,y,width,height,label\na,\"1,500\",2,3,4,t\n").unwrap();
        assert_eq!(labels.slides["a"].areas["t"][0], Area::rectangle(&Level0Rect::new(1500, 2, 3, 4)));
        assert!(labels.notes[0].contains("1,500 were read as 1500"), "{:?}", labels.notes);
        let wrong =
            read("slide\tx\ty\twidth\theight\tlabel\na\t1,500\t2\t3\t4\tt\n").unwrap_err().to_string();
        assert!(wrong.contains("line 2") && wrong.contains("\"1,500\""), "{wrong}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        let header = "slide,x,y,width,height,label\n";
        assert!(message("slide,x,y,width,label\n").contains("\"height\""));
        let wrong = message(&format!("{header}a,1,2,3,4,t\na,one,2,3,4,t\n"));
        assert!(wrong.contains("line 3") && wrong.contains("\"one\""), "{wrong}");
        assert!(message(&format!("{header}a,1,2,0,4,t\n")).contains("no area"));
        assert!(message(&format!("{header}a,1,2\n")).contains("line 2"));
        let wrong = message(&format!("{header}a,1,2,3,4,t, u\n"));
        assert!(wrong.contains("line 2") && wrong.contains("7 fields"), "{wrong}");
        assert!(message("slide,x,y,width,height,label,label\n").contains("several columns are named label"));
        assert!(message("PK\u{3}\u{4}").ends_with("save the sheet as CSV (UTF-8)"));
        assert!(message(header).contains("no rows"));
    }

    #[test]
    fn other_coordinates_than_pixels_of_level_0_are_refused() {
        for (column, wrong, right) in
            [("level", "2", "0"), ("Downsample", "4", "1.0"), ("units", "µm", "px"), ("level", "1", "")]
        {
            let table =
                |value: &str| read(format!("slide,x,y,width,height,label,{column}\na,0,0,9,9,t,{value}\n"));
            let message = table(wrong).unwrap_err().to_string();
            assert!(message.contains("line 2") && message.contains("level-0 pixels"), "{message}");
            assert!(table(right).is_ok(), "{column} {right}");
        }
    }

    #[test]
    fn words_for_missing_values_are_no_classes_and_no_patients() {
        let header = "slide,x,y,width,height,label,patient\n";
        let wrong = read(format!("{header}a,0,0,9,9,NA,P1\n")).unwrap_err().to_string();
        assert!(wrong.contains("line 2") && wrong.contains("NA"), "{wrong}");
        let labels = read(format!("{header}a,0,0,9,9,t,NA\nb,0,0,9,9,t,NA\n")).unwrap();
        assert!(labels.patients.is_empty(), "{:?}", labels.patients);
    }

    #[test]
    fn a_slide_has_one_patient() {
        let wrong =
            read("slide,x,y,width,height,label,patient\na,0,0,9,9,t,P1\na,0,0,9,9,t,P2\n").unwrap_err();
        assert!(wrong.to_string().contains("P2"));
    }
}
