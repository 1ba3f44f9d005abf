//! The program `rnnpack`.

fn main() -> std::process::ExitCode {
    rnnpack_cli::main()
}
