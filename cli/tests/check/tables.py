"""Whole tables, read by another CQL client than ours; values are as plain as those of the records."""

import datetime

EPOCH = datetime.datetime(1970, 1, 1)
FETCH = 2000


def plain(value):
    """Instants as milliseconds since 1970, values of several fields as dictionaries, sequences as lists."""
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(milliseconds=1)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(field) for name, field in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Tables:
    """A connection to one server."""

    def __init__(self, contact_point):
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import RoundRobinPolicy
        from cassandra.query import dict_factory

        host, port = contact_point.rsplit(":", 1)
        profile = ExecutionProfile(RoundRobinPolicy(), row_factory=dict_factory, request_timeout=60)
        self.cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        self.session = self.cluster.connect()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.shutdown()

    def read(self, keyspace, table, key):
        """All rows by their key; a row without the columns of the key."""
        from cassandra.query import SimpleStatement

        found = {}
        for row in self.session.execute(SimpleStatement(f"SELECT * FROM {keyspace}.{table}", fetch_size=FETCH)):
            row = {name: plain(value) for name, value in row.items()}
            place = tuple(row.pop(name) for name in key)
            found[place if len(place) > 1 else place[0]] = row
        return found
