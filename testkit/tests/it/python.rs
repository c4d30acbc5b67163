//! The Python with other implementations.

use std::process::Command;

use testkit::Cql;

#[test]
fn python_has_its_clients() {
    let code = "import io, fastavro, confluent_kafka\nf = io.BytesIO()\n\
                fastavro.schemaless_writer(f, 'long', 64)\nprint(f.getvalue().hex(), confluent_kafka.libversion()[0])";
    let output = Command::new(testkit::python()).args(["-c", code]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with("8001 2."), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

/// It reads what it is told to and nothing that we wrote for it: the independent reader of the tests.
#[test]
fn python_reads_from_the_server() {
    let keyspace = Cql::unique_keyspace();
    let create = format!(
        "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}"
    );
    let table = format!("CREATE TABLE {keyspace}.orders (id blob PRIMARY KEY, amount bigint, state text)");
    let insert =
        format!("INSERT INTO {keyspace}.orders (id, amount, state) VALUES (0x0aff, 35988, 'PAYABLE') IF NOT EXISTS");
    let select = format!("SELECT * FROM {keyspace}.orders");
    let printed = Cql::shared().query(&[&create, &table, &insert, &insert, &select]);
    let lines: Vec<&str> = printed.lines().collect();
    let row = "id=b'\\n\\xff'  amount=35988  state='PAYABLE'";
    assert_eq!(lines, ["applied=True", &format!("applied=False  {row}"), row]);
}
