//! The workspace's tasks: `cargo xtask --help`.

mod kernel;
mod lan;
mod setup;
mod workspace;

fn main() -> anyhow::Result<()> {
    let cable = lan::Cable::new()?;
    let t = std::time::Instant::now();
    let image = kernel::Image::build()?;
    println!("{:?}", t.elapsed());
    let mut guest = kernel::Guest::boot(&image, &cable)?;
    println!("{:?}", t.elapsed());
    for a in std::env::args().skip(1) {
        println!("{}", guest.run(&a)?);
    }
    println!("{:?}", t.elapsed());
    Ok(())
}
