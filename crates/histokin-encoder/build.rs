//! Moves the libtorch bindings into a separate shared library that is loaded on first use.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(torch_on_demand)");
    // torch-sys has `links = "tch"`, so Cargo sets this variable for crates that directly depend on it.
    let libtorch = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let mut callbacks = Vec::new();
    if let Some(libtorch) = &libtorch {
        println!("cargo:libtorch={}", libtorch.display());
        let target = std::env::var("TARGET").unwrap_or_default();
        if target == "x86_64-unknown-linux-gnu" {
            match torch_on_demand(libtorch) {
                Ok(names) => {
                    println!("cargo:rustc-cfg=torch_on_demand");
                    println!("cargo:callbacks={}", names.join(","));
                    callbacks = names;
                }
                Err(reason) => println!("cargo:warning=libtorch is loaded at the start: {reason}"),
            }
        }
    }
    let callbacks: Vec<&str> = callbacks.iter().map(String::as_str).collect();
    histokin_link::set_rpath_of(libtorch.as_deref(), &callbacks);
}

/// Converts torch-sys's static library to a shared library that is loaded on first use.
///
/// Loading libtorch takes longer than opening the window, and most of the program does not need it. But tch
/// calls it through about a thousand C functions in torch-sys's static library, which requires libtorch at
/// program start. The static library is therefore linked into a shared library, and each of its functions is
/// replaced by a jump to the address at which it is loaded. src/torch_library.rs does the loading.
///
/// Returns the names of the callbacks: functions of the program that the library calls.
fn torch_on_demand(libtorch: &Path) -> Result<Vec<String>, String> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("there is no folder to build in")?);
    let wrapper = torch_sys_library(&out).ok_or("the library of torch-sys was not found")?;
    println!("cargo:rerun-if-changed={}", wrapper.display());

    let library = out.join("libhistokin_torch.so");
    let mut link = Command::new("c++");
    link.args(["-shared", "-Wl,--as-needed", "-o"]).arg(&library);
    link.arg("-Wl,--whole-archive").arg(&wrapper).arg("-Wl,--no-whole-archive");
    link.arg("-L").arg(libtorch).args(["-ltorch_cpu", "-lc10"]);
    link.arg(format!("-Wl,-rpath,{}", libtorch.display())).arg("-Wl,-rpath,$ORIGIN");
    output_of(&mut link)?;

    let symbols = output_of(Command::new("nm").arg("-g").arg(&wrapper))?;
    let of_kind = |kind: &str| -> BTreeSet<&str> {
        symbols.lines().filter_map(|line| line.split_once(kind)).map(|(_, name)| name.trim()).collect()
    };
    // C++ functions are called only within the library.
    let functions: Vec<&str> = of_kind(" T ").into_iter().filter(|name| !name.starts_with("_Z")).collect();
    // Functions that torch-sys implements in Rust and the library calls.
    let callbacks: Vec<&str> = of_kind(" U ").into_iter().filter(|name| name.starts_with("tch_")).collect();
    let source = out.join("torch_stand_ins.s");
    fs::write(&source, stand_ins(&functions, &callbacks)).map_err(|error| error.to_string())?;
    let object = out.join("torch_stand_ins.o");
    output_of(Command::new("cc").arg("-c").arg(&source).arg("-o").arg(&object))?;
    let archive = out.join("libtorch_stand_ins.a");
    let _ = fs::remove_file(&archive);
    output_of(Command::new("ar").arg("crs").arg(&archive).arg(&object))?;
    println!("cargo:rustc-link-search=native={}", out.display());
    // The whole archive is linked, so the stand-ins are defined before the linker searches torch-sys's
    // library and its objects are not linked.
    println!("cargo:rustc-link-lib=static:+whole-archive=torch_stand_ins");
    println!("cargo:rustc-env=HISTOKIN_TORCH_LIBRARY={}", library.display());
    Ok(callbacks.into_iter().map(str::to_owned).collect())
}

/// Finds the static library built by torch-sys, which does not export its path; the newest if there are
/// several.
fn torch_sys_library(out: &Path) -> Option<PathBuf> {
    let builds = out.parent()?.parent()?;
    let found = fs::read_dir(builds).ok()?.flatten().filter_map(|entry| {
        let is_its = entry.file_name().to_string_lossy().starts_with("torch-sys-");
        let library = entry.path().join("out/libtch.a");
        let made = fs::metadata(&library).and_then(|metadata| metadata.modified()).ok()?;
        is_its.then_some((made, library))
    });
    found.max().map(|(_, library)| library)
}

/// Generates assembly with one jump per function through a table, whose entries lead to the loader until they
/// are filled; the function names used to fill it; and references to the callbacks, so that they are linked.
fn stand_ins(functions: &[&str], callbacks: &[&str]) -> String {
    let mut text = String::from(
        "\t.intel_syntax noprefix\n\
         \t.section .note.GNU-stack,\"\",@progbits\n\
         \t.text\n\
         # Every register that may carry an argument is preserved across the call of the loader.\n\
         load_and_return:\n\
         \tpush rbp\n\tmov rbp, rsp\n\
         \tpush rax\n\tpush rdi\n\tpush rsi\n\tpush rdx\n\tpush rcx\n\tpush r8\n\tpush r9\n\tpush r10\n\
         \tand rsp, -16\n\tsub rsp, 128\n",
    );
    let xmm = |text: &mut String, store: bool| {
        for register in 0..8 {
            let place = format!("[rsp + {}]", register * 16);
            let operands =
                if store { format!("{place}, xmm{register}") } else { format!("xmm{register}, {place}") };
            let _ = writeln!(text, "\tmovups {operands}");
        }
    };
    xmm(&mut text, true);
    text.push_str("\tcall histokin_load_torch\n");
    xmm(&mut text, false);
    text.push_str(
        "\tlea rsp, [rbp - 64]\n\
         \tpop r10\n\tpop r9\n\tpop r8\n\tpop rcx\n\tpop rdx\n\tpop rsi\n\tpop rdi\n\tpop rax\n\tpop rbp\n\tret\n",
    );
    for (place, name) in functions.iter().enumerate() {
        let _ = writeln!(
            text,
            "\t.globl {name}\n\t.type {name}, @function\n{name}:\n\
             \tjmp [rip + histokin_torch_functions + {offset}]\n\
             first_{place}:\n\tcall load_and_return\n\tjmp [rip + histokin_torch_functions + {offset}]",
            offset = place * 8
        );
    }
    text.push_str("\t.data\n\t.balign 8\n\t.globl histokin_torch_functions\nhistokin_torch_functions:\n");
    for place in 0..functions.len() {
        let _ = writeln!(text, "\t.quad first_{place}");
    }
    for name in callbacks {
        let _ = writeln!(text, "\t.quad {name}");
    }
    text.push_str("\t.section .rodata\n\t.globl histokin_torch_names\nhistokin_torch_names:\n");
    for name in functions {
        let _ = writeln!(text, "\t.asciz \"{name}\"");
    }
    // An empty name terminates the list.
    text.push_str("\t.byte 0\n");
    text
}

fn output_of(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.lines().next().unwrap_or("failed")))
}
