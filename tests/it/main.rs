//! Integration tests: one program, a file for each subject.

mod made;
mod support;

mod annotations;
#[cfg(feature = "archive")]
mod archive;
#[cfg(all(feature = "archive", unix))]
mod archive_cli;
#[cfg(feature = "archive")]
mod archive_faults;
#[cfg(feature = "archive")]
mod archive_session;
mod broken_files;
mod broken_slides;
mod cli;
mod cli_messages;
mod descriptors;
mod documents;
mod encoder;
mod engines;
mod evaluate;
mod evaluation;
mod identity;
#[cfg(unix)]
mod odd_paths;
#[cfg(unix)]
mod faults;
mod feature_files;
mod foreign_weights;
mod index;
mod levels;
mod interchange;
mod json_output;
#[cfg(all(feature = "gui", target_os = "linux"))]
mod monkey;
mod mutated_files;
mod pipeline;
mod privacy;
mod query;
mod query_builder;
mod raw_tiles;
mod readout_choice;
mod session;
mod shards;
mod session_query;
mod session_teaching;
mod slides;
mod stain;
mod teaching;
mod tissue;
#[cfg(unix)]
mod torture;
mod trust;
mod vision_transformers;
mod training;
mod training_kept;
mod training_validation;
mod training_trouble;
#[cfg(feature = "gui")]
mod ui;
#[cfg(feature = "gui")]
mod ui_commands;
#[cfg(feature = "gui")]
mod ui_encoders;
#[cfg(feature = "gui")]
mod ui_help;
#[cfg(feature = "gui")]
mod ui_menus;
#[cfg(feature = "gui")]
mod ui_report;
#[cfg(feature = "gui")]
mod ui_accessibility;
#[cfg(feature = "gui")]
mod ui_stains;
#[cfg(feature = "gui")]
mod ui_training;
#[cfg(feature = "gui")]
mod ui_window;
#[cfg(feature = "gui")]
mod ui_annotate;
#[cfg(feature = "gui")]
mod ui_graphics;
#[cfg(feature = "gui")]
mod ui_warnings;
#[cfg(feature = "gui")]
mod ui_canvas;
#[cfg(feature = "gui")]
mod ui_search;
#[cfg(feature = "gui")]
mod ui_settings;
#[cfg(feature = "gui")]
mod ui_snapshots;
#[cfg(all(feature = "gui", unix))]
mod window;
