//! The command `rnnpack`.

fn main() -> std::process::ExitCode {
    rnnpack_cli::main()
}
