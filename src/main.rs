//! The program: parse, run, exit code. What it does stands in `commands`.

fn main() -> std::process::ExitCode {
    sellout::commands::run()
}
