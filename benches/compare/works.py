"""The bulk works of the comparison: for each its SQL here, the same as one batch query in DuckDB, and what makes the two comparable.

A stream ends with its last windows open: DuckDB's answer is cut to the windows that the watermark has let out. Nothing
is late where all files are one batch, so everything else must be the same, row by row.
"""

from dataclasses import dataclass

COLUMNS = "event_id STRING, `timestamp` TIMESTAMP, user_id BIGINT, event_type STRING, value DOUBLE"
DUCK_COLUMNS = "{event_id:'VARCHAR',timestamp:'TIMESTAMP',user_id:'BIGINT',event_type:'VARCHAR',value:'DOUBLE'}"
EVENTS = "STREAM events WATERMARK `timestamp` DELAY OF INTERVAL 10 MINUTES"
CLOSED = "(SELECT max(timestamp) - INTERVAL 10 MINUTE FROM {0})"


@dataclass(frozen=True)
class Work:
    """`sql` makes the table `result`; `duck` answers the same from `{0}`; `shown` are the columns of the result that are
    compared, as DuckDB reads them from the table's Parquet files, and `closed` cuts DuckDB's answer to the closed windows."""

    name: str
    title: str
    sql: str
    duck: str
    shown: str
    closed: str = ""

    def pipeline(self, folder, options="", properties=""):
        table = f"CREATE TABLE events ({COLUMNS}) USING json OPTIONS (path '{folder}'{options});\n"
        properties = f" TBLPROPERTIES ({properties})" if properties else ""
        return f"{table}CREATE STREAMING TABLE result{properties} AS {self.sql};\n"


def ask(sql):
    """The first row of DuckDB's answer."""
    import duckdb
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.execute(sql).fetchone()


def read_json(folder):
    """DuckDB's name for the input."""
    return f"read_json('{folder}/*.json', format='newline_delimited', columns={DUCK_COLUMNS})"


WORKS = [
    Work(
        "tumbling", "tumbling count and avg",
        f"SELECT window(`timestamp`, '5 minutes') AS w, event_type, count(*) AS c, avg(value) AS a FROM {EVENTS} "
        "GROUP BY window(`timestamp`, '5 minutes'), event_type",
        "SELECT time_bucket(INTERVAL '5 minutes', timestamp) AS w, event_type, count(*) AS c, avg(value) AS a FROM {0} GROUP BY 1, 2",
        "w.start::TIMESTAMP AS w, event_type, c, round(a, 6) AS a",
        "w + INTERVAL 5 MINUTE <= " + CLOSED,
    ),
    Work(
        "sliding", "sliding 5 min / 1 min count by user",
        f"SELECT window(`timestamp`, '5 minutes', '1 minute') AS w, user_id, count(*) AS c FROM {EVENTS} "
        "GROUP BY window(`timestamp`, '5 minutes', '1 minute'), user_id",
        "SELECT w + INTERVAL (o) MINUTE AS w, user_id, count(*) AS c FROM (SELECT time_bucket(INTERVAL '1 minute', timestamp) AS w, "
        "user_id FROM {0}), range(-4, 1) t(o) GROUP BY 1, 2",
        "w.start::TIMESTAMP AS w, user_id, c",
        "w + INTERVAL 5 MINUTE <= " + CLOSED,
    ),
    Work(
        "pass", "pass-through into Delta",
        "SELECT * FROM STREAM events",
        "SELECT * FROM {0}",
        "event_id, timestamp::TIMESTAMP AS timestamp, user_id, event_type, value",
    ),
    Work(
        "dedup", "dedup by (event_id, timestamp)",
        f"SELECT DISTINCT ON (event_id, `timestamp`) * FROM {EVENTS}",
        "SELECT DISTINCT ON (event_id, timestamp) * FROM {0}",
        "event_id, timestamp::TIMESTAMP AS timestamp, user_id, event_type, value",
    ),
    Work(
        "sjoin", "join of two streams, 1 minute",
        f"SELECT l.event_id AS l, r.event_id AS r, l.user_id FROM {EVENTS} AS l JOIN {EVENTS} AS r ON l.user_id = r.user_id "
        "AND l.event_type = 'page_view' AND r.event_type = 'click' AND r.`timestamp` >= l.`timestamp` "
        "AND r.`timestamp` <= l.`timestamp` + INTERVAL 1 MINUTE",
        "WITH e AS (FROM {0}) SELECT l.event_id AS l, r.event_id AS r, l.user_id FROM e l JOIN e r ON l.event_type = 'page_view' "
        "AND r.event_type = 'click' AND l.user_id = r.user_id AND r.timestamp >= l.timestamp "
        "AND r.timestamp <= l.timestamp + INTERVAL 1 MINUTE",
        "l, r, user_id",
    ),
]
