//! Sets the name under which programs that link the shared library look for it at run time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let argument = match system.as_str() {
        "linux" | "android" | "freebsd" => "-Wl,-soname,librnnpack.so.0",
        "macos" => "-Wl,-install_name,@rpath/librnnpack.0.dylib",
        _ => return,
    };
    println!("cargo::rustc-cdylib-link-arg={argument}");
}
