//! The Python with other implementations.

use std::process::Command;

#[test]
fn python_has_its_clients() {
    let code = "import io, fastavro, confluent_kafka\nf = io.BytesIO()\n\
                fastavro.schemaless_writer(f, 'long', 64)\nprint(f.getvalue().hex(), confluent_kafka.libversion()[0])";
    let output = Command::new(testkit::python()).args(["-c", code]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with("8001 2."), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}
