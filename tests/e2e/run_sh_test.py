"""Drives run.sh in native mode as a reader of the README would.

Every test has an installation of its own: free ports, a temporary state folder. The programs are
those of FEEDVAULT_BUILD_DIR, so nothing is built here. When FEEDVAULT_KEEP_TEST_FILES is set the
state folder stays. Its name has a blank, as names of folders may.
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTS = ("NATS", "MONITOR", "HTTP", "CONTROLLER", "MYSQL")
WAIT_S = 60


CLAIMS = []  # of ports, until this process ends; as tests/support/free_port.cc does


def free_ports(count):
    """Ports for servers that come and go: none that the kernel gives to outgoing connections."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = []
    while len(ports) < count:
        port = random.randrange(10000, low if low > 12000 else 65536)
        claim, probe = socket.socket(socket.AF_UNIX), socket.socket()
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            claim.bind(f"\0feedvault-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            claim.close()
        else:
            CLAIMS.append(claim)
            ports.append(port)
        finally:
            probe.close()
    return ports


class Installation:
    """One state folder with its ports; `run` is what a person types."""

    def __init__(self, **environment):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="feedvault e2e-"))
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.environment = dict(os.environ, **environment)
        self.environment.pop("FEEDVAULT_BROKER", None)
        for name, port in self.ports.items():
            self.environment[f"FEEDVAULT_{name}_PORT"] = str(port)

    def command(self, *arguments):
        return ["bash", str(ROOT / "run.sh"), "--mode", "native", "--state", str(self.state),
                *arguments]

    def run(self, *arguments, expect=0, environment=None):
        done = subprocess.run(
            self.command(*arguments), env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False)
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"run.sh {arguments} ended with {done.returncode}:\n"
                                 f"{done.stdout}{done.stderr}{self.logs()}")
        return done

    def logs(self):
        text = ""
        for log in sorted((self.state / "log").glob("*.log")):
            text += f"--- {log.name}\n" + "".join(log.read_text().splitlines(True)[-15:])
        return text

    def sql(self, query):
        """Rows of a query, as lists of strings."""
        done = self.run("sql", "-N", "-B", "-e", query)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def pid(self, name):
        try:
            return int((self.state / "run" / f"{name}.pid").read_text().split()[0])
        except (OSError, IndexError):
            return None

    def get(self, port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}",
                                    timeout=5) as answer:
            return answer.read().decode()

    def ready(self):
        try:
            self.get("CONTROLLER", "/readyz")
            return True
        except OSError:
            return False

    def stream_state(self, name):
        """Last sequence and number of messages of a stream; None when there is none."""
        with socket.create_connection(("127.0.0.1", self.ports["NATS"]), timeout=5) as client:
            client.sendall(b'CONNECT {"verbose":false}\r\nSUB answer 1\r\n'
                           b"PUB $JS.API.STREAM.INFO.%s answer 0\r\n\r\n" % name.encode())
            received = client.makefile("rb")
            line = received.readline()
            while line and not line.startswith(b"MSG answer "):
                line = received.readline()
            answer = json.loads(received.read(int(line.split()[-1])))
        state = answer.get("state")
        return state and (state["last_seq"], state["messages"])

    def broker_program(self):
        return os.path.basename(os.readlink(f"/proc/{self.pid('broker')}/exe"))

    def publish(self, count, seed):
        """Acknowledged messages of both feeds."""
        subprocess.run(
            [os.path.join(self.environment["FEEDVAULT_BUILD_DIR"], "bin", "feedvault-feeds"),
             "--config", str(ROOT / "config.toml"), "--feed", "all", "--rate", "0",
             "--count", str(count), "--seed", str(seed), "--publish", "acknowledged"],
            env=self.environment, stdout=subprocess.DEVNULL, timeout=WAIT_S, check=True)

    def catalogue(self):
        """Per feed: checkpointed last seq, rows, highest seq, different ids."""
        rows = self.sql(
            "SELECT f.name, f.last_seq, COUNT(m.seq), COALESCE(MAX(m.seq), 0), "
            "COUNT(DISTINCT m.id) FROM Feeds f LEFT JOIN Messages m ON m.feed = f.feed "
            "GROUP BY f.name, f.last_seq")
        return {row[0]: tuple(map(int, row[1:])) for row in rows}

    def processes(self):
        """Everything that runs with our state folder in its command line, its environment or its
        working folder."""
        found = []
        needle = str(self.state).encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                known = command + os.fsencode(os.readlink(entry / "cwd"))
            except OSError:
                continue
            if needle in known:
                found.append((int(entry.name), command.replace(b"\0", b" ").decode()))
        return found

    def remove(self):
        self.run("down", expect=None)
        left = self.processes()
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        if "FEEDVAULT_KEEP_TEST_FILES" not in os.environ:
            shutil.rmtree(self.state, ignore_errors=True)
        return left


class RunSh(unittest.TestCase):
    def setUp(self):
        self.installation = Installation()
        self.addCleanup(self.installation.remove)

    def eventually(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"not within {WAIT_S} s: {what}\n{self.installation.logs()}")
            time.sleep(0.1)

    def assert_consistent(self, expected=None):
        """Every feed: seq 1..N without a gap, no id twice, all of it on the feed stream."""
        here = self.installation

        def published():
            return all((here.stream_state(f"FEED_{name}") or (0, 0))[0] == row[0]
                       for name, row in here.catalogue().items())

        self.eventually(published, "the feed streams hold what the table holds")
        for name, (last_seq, rows, highest, ids) in here.catalogue().items():
            self.assertGreater(last_seq, 0, name)
            self.assertEqual((rows, highest, ids), (last_seq, last_seq, last_seq), name)
            self.assertEqual(here.stream_state(f"FEED_{name}"), (last_seq, last_seq), name)
            if expected is not None:
                self.assertEqual(last_seq, expected[name], name)

    def test_first_steps(self):
        here = self.installation
        up = here.run("up").stdout
        self.assertIn(f"nats://127.0.0.1:{here.ports['NATS']}", up)
        self.assertNotRegex(up, r"[\x00-\x09\x0b-\x1f]", "control codes without a terminal")

        # Demo messages are there as soon as `up` returns, readable by the views too.
        for table in ("Events", "Executions"):
            self.assertGreater(int(here.sql(f"SELECT COUNT(*) FROM {table}")[0][0]), 0, table)
        columns = here.sql("SELECT symbol, price FROM Executions ORDER BY seq LIMIT 1")[0]
        self.assertRegex(columns[0], r"^\w")
        self.assertGreater(float(columns[1]), 0)
        refused = here.run("sql", "-e", "DELETE FROM Messages", expect=None)
        self.assertNotEqual(refused.returncode, 0, "the SQL user can only read")

        tail = here.run("tail", "executions", "--from", "first", "--json", "--count", "3").stdout
        self.assertEqual([json.loads(line)["seq"] for line in tail.splitlines()], [1, 2, 3])
        status = json.loads(here.run("status", "--json").stdout)
        self.assertEqual({feed["name"] for feed in status["feeds"]}, {"events", "executions"})
        self.assertIn("events", here.run("status").stdout)
        self.assertIn("controller", here.run("logs").stdout)
        self.assertIn(f"http://127.0.0.1:{here.ports['HTTP']}/feeds", up)
        self.assertRegex(up, rf"dashboard +http://127.0.0.1:{here.ports['HTTP']}/\n")
        self.assertIn("<title>Feedvault</title>", here.get("HTTP", "/"))
        feeds = json.loads(here.get("HTTP", "/feeds"))["feeds"]
        self.assertEqual([feed["name"] for feed in feeds], ["events", "executions"])
        page = json.loads(here.get("HTTP", "/feeds/executions/messages?limit=2"))
        self.assertEqual([message["seq"] for message in page["messages"]], [1, 2])

        # A producer that knows nothing of us: a plain PUB. What is no message is quarantined.
        with socket.create_connection(("127.0.0.1", here.ports["NATS"])) as producer:
            producer.sendall(b"CONNECT {\"verbose\":false}\r\nPUB sport_event 3\r\nabc\r\nPING\r\n")
            self.assertTrue(producer.recv(65536))
            self.eventually(lambda: here.sql("SELECT COUNT(*) FROM Quarantine")[0][0] == "1",
                            "a bad message in quarantine")
        self.assertIn("events", here.run("quarantine", "list").stdout)

        # `up` again changes nothing; `down` leaves no process, and the data.
        controller = here.pid("controller")
        here.run("up")
        self.assertEqual(here.pid("controller"), controller)
        here.run("down")
        self.assertEqual(here.processes(), [])
        explained = here.run("status", expect=1)
        self.assertIn("run.sh up", explained.stderr)

    def test_kills_lose_nothing(self):
        here = self.installation
        here.run("up", "--no-demo")
        count = 3000
        producer = subprocess.Popen(
            [os.path.join(here.environment["FEEDVAULT_BUILD_DIR"], "bin", "feedvault-feeds"),
             "--config", str(ROOT / "config.toml"), "--feed", "all", "--rate", "100",
             "--count", str(count), "--seed", "7", "--publish", "acknowledged"],
            env=here.environment, stdout=subprocess.DEVNULL)
        self.addCleanup(producer.kill)
        for name in ("controller", "broker", "database"):
            self.eventually(lambda: here.catalogue()["events"][0] > 0, "messages arrive")
            self.assertIsNone(producer.poll(), "the kill would not be under load")
            killed = here.pid(name)
            os.kill(killed, signal.SIGKILL)
            self.eventually(lambda: here.pid(name) not in (None, killed), f"a new {name}")
            self.eventually(here.ready, f"ready after {name} was killed")
        self.assertEqual(producer.wait(timeout=WAIT_S), 0)
        self.eventually(lambda: all(row[0] >= count for row in here.catalogue().values()),
                        "all that was sent is catalogued")
        self.assert_consistent(dict.fromkeys(("events", "executions"), count))

        # A supervisor that was killed leaves its program running; `up` puts both right.
        supervisor = int((here.state / "run" / "broker.supervisor").read_text().split()[0])
        os.kill(supervisor, signal.SIGKILL)
        here.run("up", "--no-demo")
        self.eventually(here.ready, "ready after `up`")
        here.run("down")
        self.assertEqual(here.processes(), [])
        here.run("up", "--no-demo")
        self.assert_consistent(dict.fromkeys(("events", "executions"), count))

    def test_changing_the_broker_loses_nothing(self):
        here = self.installation
        feeds = ("events", "executions")
        here.run("up", "--no-demo", environment={"FEEDVAULT_BROKER": "nats-server"})
        self.assertEqual(here.broker_program(), "nats-server")
        here.publish(100, seed=1)
        here.run("down")

        # Who says nothing goes on with what is there.
        here.run("up", "--no-demo")
        self.assertEqual(here.broker_program(), "nats-server")
        self.eventually(lambda: all(row[0] == 100 for row in here.catalogue().values()),
                        "all is catalogued")
        self.assert_consistent(dict.fromkeys(feeds, 100))

        # What only the ingest streams hold is catalogued before they are left behind.
        for name in ("controller.supervisor", "controller.pid"):
            os.kill(int((here.state / "run" / name).read_text().split()[0]), signal.SIGKILL)
        here.publish(500, seed=2)
        here.run("down")
        ours = {"FEEDVAULT_BROKER": "feedvault-broker"}
        changed = here.run("up", "--no-demo", environment=ours)
        self.assertIn("changing the broker from nats-server to feedvault-broker", changed.stdout)
        self.assertEqual(here.broker_program(), "feedvault-broker")
        self.assert_consistent(dict.fromkeys(feeds, 600))
        self.assertTrue((here.state / "jetstream.nats-server.1").is_dir())
        here.publish(100, seed=3)
        self.eventually(lambda: all(row[0] == 700 for row in here.catalogue().values()),
                        "the new broker's messages are catalogued")
        self.assert_consistent(dict.fromkeys(feeds, 700))
        self.assertEqual(here.sql("SELECT COUNT(*) FROM Quarantine"), [["0"]])
        # Nothing is missing, but a controller that finds a new ingest stream cannot know that.
        self.assertEqual(here.sql("SELECT first_seq FROM Gaps WHERE reason LIKE '%made anew%'"),
                         [["601"], ["601"]])

        refused = here.run("up", expect=1, environment={"FEEDVAULT_BROKER": "nats-server"})
        self.assertIn("run.sh down, first", refused.stderr)
        here.run("down")

        # Streams of both: nobody knows which of them count.
        other = here.state / "jetstream" / "jetstream" / "$G" / "streams" / "INGEST_events"
        other.mkdir(parents=True)
        refused = here.run("up", expect=1)
        self.assertRegex(refused.stderr, "holds streams of both brokers")
        self.assertEqual(len(refused.stderr.splitlines()), 1)
        self.assertEqual(here.processes(), [])
        shutil.rmtree(other.parents[1])
        here.run("up", "--no-demo")
        self.assert_consistent(dict.fromkeys(feeds, 700))

    def test_mistakes_are_explained(self):
        here = self.installation
        for arguments, words in ((["sideways"], "unknown command"), (["--fast"], "unknown option"),
                                 (["up", "--mode", "moon"], "docker or native")):
            refused = here.run(*arguments, expect=1)
            self.assertIn(words, refused.stderr)
            self.assertEqual(len(refused.stderr.splitlines()), 1)
        for name, value in (("FEEDVAULT_NATS_PORT", "70000"), ("FEEDVAULT_BROKER", "/bin/false")):
            refused = here.run("up", expect=1, environment={name: value})
            self.assertIn(name, refused.stderr)
            self.assertEqual(len(refused.stderr.splitlines()), 1)

        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", here.ports["NATS"]))
            other.listen()
            refused = here.run("up", expect=1)
            self.assertRegex(refused.stderr, r"port \d+ \(broker\) is in use.*FEEDVAULT_NATS_PORT=")
        self.assertEqual(here.processes(), [])

        config = here.state / "wrong.toml"
        config.write_text((ROOT / "config.toml").read_text().replace("[catalogue]",
                                                                     "[catalogue]\nspeed = 9"))
        refused = here.run("up", expect=1, environment={"FEEDVAULT_CONFIG": str(config)})
        self.assertRegex(refused.stderr, r"wrong\.toml.*speed")
        self.assertEqual(here.processes(), [])

        # In the foreground, Ctrl-C stops everything in order.
        foreground = subprocess.Popen(
            here.command("--no-demo"), env=here.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.addCleanup(foreground.kill)
        lines = []
        for line in foreground.stdout:
            lines.append(line)
            if re.search(r"catalogued", line):
                os.killpg(foreground.pid, signal.SIGINT)
        foreground.stdout.close()
        self.assertEqual(foreground.wait(timeout=WAIT_S), 0, "".join(lines))
        self.assertIn("stopped; the data stays.\n", lines)
        self.assertEqual(here.processes(), [])


if __name__ == "__main__":
    unittest.main()
