"""The units on a real systemd: started at boot, sandboxed, watched, reloaded, stopped, and what
becomes of it all."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.audio.recordings import read_audio, write_flac
from engines.models.general_speech import read_prompts, retention_examples
from tests.support.places import cache_dir
from tests.system.machine import OWN_LIBRARY, PROJECT, TESTS, Machine

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/systemd/systemd").exists(), reason="needs systemd"),
]
SERVICES = (
    "attune.service",
    "attune-adapt.service",
    "attune-adapt-nightly.service",
    "attune-engines.service",
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.halt()


def with_engines(machine: Machine) -> None:
    """Spare it the first build."""
    shutil.copytree(cache_dir() / "engines", machine.folder / "cache" / "engines")
    shutil.copytree(
        Path("/var/lib/attune/generations/0000"), machine.folder / "lib" / "generations" / "0000"
    )


def test_it_starts_at_boot_answers_and_stops(machine: Machine) -> None:
    with_engines(machine)
    machine.configure(audio__source='"none"')
    machine.enable(["attune.service"])
    machine.start()
    machine.wait_for("attune.service")
    status = machine.show("attune.service", "StatusText")
    assert status.startswith("not listening (audio.source is none); ")
    assert machine.reply("Say hello.")
    began = time.monotonic()
    machine.run("systemctl", "stop", "attune.service")
    assert time.monotonic() - began < 5
    assert machine.show("attune.service", "Result") == "success"
    assert machine.reply("Are you there?"), "whoever asks starts it again"


def test_what_is_said_to_a_microphone_is_answered_under_the_sandbox(
    machine: Machine, general_speech: Path
) -> None:
    with_engines(machine)
    sound = "".join(
        f"Environment={name}=/run/mic/{value}\n"
        for name, value in (
            ("PULSE_SERVER", "socket"),
            ("PULSE_COOKIE", "cookie"),
            ("ALSA_CONFIG_PATH", "asound.conf"),
        )
    ).replace("PULSE_SERVER=", "PULSE_SERVER=unix:")
    machine.write(
        "systemd/system/attune.service.d/microphone.conf",
        f"[Service]\n{sound}Environment=PULSE_LATENCY_MSEC=20\n",
    )
    machine.configure(audio__device='"vmic"')
    said = machine.folder / "lib" / "said.flac"
    write_flac(said, read_audio(general_speech / "vm-intro.g722", 30.0))
    machine.start()
    script = f"bash {TESTS}/tests/support/virtual_mic.sh /run/mic"
    as_user = (
        "systemd-run",
        "--quiet",
        "--uid=attune",
        "--gid=attune",
        "--setenv=PATH=/usr/bin:/bin",
    )
    machine.run(
        *as_user,
        "--unit=mic",
        "--property=RuntimeDirectory=mic",
        "sh",
        "-c",
        f"{script} start && sleep infinity",
    )
    machine.eventually(
        lambda: "mic" in machine.run("ls", "/run/mic/reader.pid", check=False), "mic"
    )
    machine.run("systemctl", "start", "attune.service")
    machine.eventually(
        lambda: "listening to vmic" in machine.show("attune.service", "StatusText"),
        "attune.service",
    )
    machine.attune("consent", "on")
    process = machine.show("attune.service", "MainPID")

    def resident_mib() -> int:
        [found] = re.findall(r"VmRSS:\s+(\d+) kB", machine.run("cat", f"/proc/{process}/status"))
        return int(found) >> 10

    at_first_mib = resident_mib()
    machine.run(
        *as_user, "--pipe", "--wait", "sh", "-c", f"{script} play /var/lib/attune/said.flac"
    )
    machine.eventually(lambda: bool(machine.status()["last_turns"]), "attune.service")
    [turn, *_] = machine.status()["last_turns"]
    assert "message" in turn["heard"].lower()
    assert turn["reply"]
    assert machine.status()["counts"]["utterances"] >= 1
    assert machine.show("attune.service", "NRestarts") == "0"

    def processor_seconds() -> float:
        fields = machine.run("cat", f"/proc/{process}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    time.sleep(10)  # what follows a turn once it is quiet
    counts = machine.status()["counts"]
    assert counts["unlabelled"] == counts["utterances"], "no round has shown what is right"
    used, seconds = processor_seconds(), 60
    time.sleep(seconds)
    share = (processor_seconds() - used) / seconds
    print(f"{share:.2%} of a core while nobody talks")
    assert (
        share < 0.04
        # the aim is 0.02; machines that are shared take up to twice their time, and a test is no
        # benchmark
    )
    print(f"{at_first_mib} MiB are resident at first, {resident_mib()} MiB once something was said")
    # The aims are 450 and 500 (docs/figures.md); the kernel counts what others share, too, and
    # differently on other processors. What scores sentences in doubt takes 31 MiB.
    assert at_first_mib < 500
    assert resident_mib() < 580
    # The processes of the voice and of the loudspeaker end once nothing is said.
    machine.eventually(
        lambda: not machine.run("sh", "-c", f"cat /proc/{process}/task/*/children").strip(),
        "attune.service",
    )


def on_tiny_engines(machine: Machine, watchdog_seconds: int, whose: str = "system") -> None:
    """The service of the machine, or of a `user`, with tiny engines in it."""
    lines = f"""[Service]
        Environment=PYTHONPATH={TESTS} ATTUNE__AUDIO__SOURCE=none
        ExecStart=
        ExecStart=/usr/lib/attune/bin/python -m tests.support.tiny_daemon
        WatchdogSec={watchdog_seconds}
    """
    machine.write(
        f"systemd/{whose}/attune.service.d/tiny.conf",
        "\n".join(line.strip() for line in lines.splitlines()),
    )


def test_a_loop_that_freezes_is_started_again_and_the_first_request_after_it_is_answered(
    machine: Machine,
) -> None:
    on_tiny_engines(machine, 3)
    machine.enable(["attune.service"])
    machine.start()
    machine.wait_for("attune.service")
    first = machine.show("attune.service", "MainPID")
    assert machine.reply("hello") == "0 hello"
    began = time.monotonic()
    with pytest.raises(AssertionError, match="ended before it had answered"):
        machine.attune("ask", "freeze")
    machine.eventually(
        lambda: machine.show("attune.service", "MainPID") not in ("0", first), "attune.service", 120
    )
    print(f"started again after {time.monotonic() - began:.1f} s, of a watchdog of 3 s")
    assert machine.reply("hello again") == "0 hello again"
    assert machine.show("attune.service", "NRestarts") == "1"
    assert "in reply" in machine.journal("attune.service"), (
        "where every thread was stands in the journal"
    )


def test_a_frozen_process_is_started_again(machine: Machine) -> None:
    on_tiny_engines(machine, 2)
    machine.start()
    machine.run("systemctl", "start", "attune.service")
    began = time.monotonic()
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "attune.service")
    machine.eventually(
        lambda: machine.show("attune.service", "NRestarts") == "1", "attune.service", 120
    )
    print(f"started again after {time.monotonic() - began:.1f} s, of a watchdog of 2 s")
    assert machine.reply("hello") == "0 hello"


def test_while_it_reads_its_settings_again_no_request_is_lost(machine: Machine) -> None:
    on_tiny_engines(machine, 30)
    machine.start()
    machine.run("systemctl", "start", "attune.service")
    process = machine.show("attune.service", "MainPID")
    answers: list[str] = []
    asking = threading.Thread(
        target=lambda: answers.extend(machine.reply(f"number {n}") for n in range(8))
    )
    asking.start()
    for _ in range(3):
        machine.run("systemctl", "reload", "attune.service")
        time.sleep(0.5)
    asking.join()
    assert [answer.partition(" ")[2] for answer in answers] == [
        f"number {number}" for number in range(8)
    ]
    assert machine.show("attune.service", "MainPID") == process
    assert machine.journal("attune.service").count("serving at") == 4


def test_engines_are_built_at_the_first_boot_also_after_a_power_cut_and_it_answers_meanwhile(
    machine: Machine,
) -> None:
    machine.configure(audio__source='"none"')
    machine.enable(["attune.service", "attune-engines.service"])
    machine.start()
    machine.wait_for("attune.service")
    assert machine.show("attune-engines.service", "ActiveState") == "active"
    assert machine.reply("Say hello."), "it answers while they are built"
    assert machine.status()["routes"] == ["cascade"]
    machine.eventually(
        lambda: any((machine.folder / "cache").glob("engines/*")), "attune-engines.service"
    )
    machine.cut()
    machine.start()
    machine.wait_for("attune.service")
    machine.wait_for("attune-engines.service", "inactive", seconds=900)
    assert machine.show("attune-engines.service", "Result") == "success"
    machine.eventually(lambda: "aligned" in machine.status()["routes"], "attune.service")
    assert machine.show("attune.service", "NRestarts") == "0", "it opened them without a restart"
    began = time.monotonic()
    machine.run("systemctl", "start", "attune-engines.service")
    machine.wait_for("attune-engines.service", "inactive")
    assert time.monotonic() - began < 60, "what is there is not built again"


def enrolled(machine: Machine) -> None:
    """A service that runs, with recordings to learn from, and trains only when it is told to."""
    with_engines(machine)
    machine.configure(
        audio__source='"none"',
        idle__enabled="false",
        adapt__training_seconds="25",
        adapt__recogniser_seconds="0",
        adapt__reply_utterances="2",
    )
    machine.mask("attune-engines.service")  # it would make the replay set, beside the training
    machine.enable(["attune.service"])
    models = cache_dir() / "models"
    rows = [
        {
            "audio": str(Path("/usr/share/attune/models") / example.audio.relative_to(models)),
            "text": example.text,
        }
        for example in retention_examples(cache_dir(), whole=True)[:24]
    ]
    (machine.folder / "cache" / "spoken.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    machine.start()
    machine.wait_for("attune.service")
    machine.attune("consent", "on")
    machine.attune("enroll", "--from", "/var/cache/attune/spoken.jsonl")


_ROUND_SECONDS = 2400.0
"""A round gives way to all others: beside busy programs it takes many times its usual minutes."""


def test_the_key_is_a_credential_that_systemd_hands_over(machine: Machine) -> None:
    """By the commands of docs/install.md."""
    on_tiny_engines(machine, 30)
    machine.enable(["attune.service"])
    machine.start()
    machine.wait_for("attune.service")
    machine.attune("consent", "on")
    own = machine.folder / "lib" / "attune.key"
    turns = 0

    def opens_with(where: str) -> None:
        nonlocal turns
        machine.run("systemctl", "restart", "attune.service")
        assert machine.status()["counts"]["turns"] == turns
        assert machine.reply("hello").endswith("hello")
        turns += 1
        kept = json.loads((machine.folder / "lib" / "keys.json").read_text())
        [fingerprint] = re.findall("^key ([0-9a-f]{8}), in ", machine.attune("data", "key"))
        assert kept["installation_key"] == fingerprint
        assert where in machine.attune("data", "key")

    opens_with("/var/lib/attune/attune.key")
    machine.run("install", "-d", "-m", "700", "/etc/credstore")
    to = "umask 077; head -c 32 /dev/urandom | base64 > /etc/credstore/attune.key"
    machine.run("sh", "-c", to)
    opens_with("/etc/credstore/attune.key")
    own.unlink()
    opens_with("/etc/credstore/attune.key")
    assert not own.exists(), "nothing in the state folder opens what is there"

    # Encrypted with a key of this machine's, as it is with that of a TPM.
    machine.run("install", "-d", "-m", "700", "/etc/credstore.encrypted")
    encrypt = "systemd-creds encrypt --with-key=host --name=attune.key"
    there = "/etc/credstore/attune.key /etc/credstore.encrypted/attune.key"
    machine.run("sh", "-c", f"{encrypt} {there} && rm /etc/credstore/attune.key")
    lines = "[Service]\nLoadCredential=\nLoadCredentialEncrypted=attune.key\n"
    folder = "/run/systemd/system/attune.service.d"
    machine.run("sh", "-c", f"mkdir -p {folder}; cat > {folder}/key.conf", given=lines)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "attune.service")
    assert machine.status()["counts"]["turns"] == turns
    assert not own.exists()
    with pytest.raises(AssertionError, match="needs the installation key"):
        machine.attune("data", "key")
    having = ("systemd-run", "--quiet", "--pipe", "--property=LoadCredentialEncrypted=attune.key")
    assert "the credential attune.key" in machine.run(
        *having, "/usr/lib/attune/bin/attune", "data", "key"
    )


def trains(machine: Machine) -> bool:
    return bool(machine.status()["adaptation"]["stage"] == "train")


def outcome(machine: Machine) -> tuple[str, str]:
    """Of the last round that was seen to begin, once no round runs."""
    machine.eventually(
        lambda: machine.status()["adaptation"]["state"] == "waiting",
        "attune-adapt.service",
        _ROUND_SECONDS,
    )
    learning = machine.status()["adaptation"]
    return learning["last_outcome"], learning["last_reason"]


def test_training_is_a_unit_of_its_own_whose_want_of_memory_is_only_its_own(
    machine: Machine,
) -> None:
    machine.write("systemd/system/attune-adapt.service.d/small.conf", "[Service]\nMemoryMax=250M\n")
    enrolled(machine)
    process = machine.show("attune.service", "MainPID")
    machine.run("systemd-run", "--quiet", "/usr/lib/attune/bin/attune", "adapt", "--now")
    machine.eventually(
        lambda: machine.show("attune-adapt.service", "Result") in ("oom-kill", "signal"),
        "attune-adapt.service",
    )
    ended, why = outcome(machine)
    assert ended == "failed"
    assert "killed" in why
    assert machine.show("attune.service", "MainPID") == process
    assert machine.reply("Say hello.")
    machine.run("systemctl", "set-property", "--runtime", "attune-adapt.service", "MemoryMax=4G")
    machine.run("systemd-run", "--quiet", "/usr/lib/attune/bin/attune", "adapt", "--now")
    machine.eventually(lambda: trains(machine), "attune-adapt.service", _ROUND_SECONDS)
    child = machine.show("attune-adapt.service", "MainPID")
    assert machine.run("chrt", "--pid", child).splitlines()[0].endswith("SCHED_IDLE")
    assert machine.run("cat", f"/proc/{child}/oom_score_adj").strip() == "800"
    machine.attune("ask", "Say hello.")
    assert machine.status()["adaptation"]["pauses"] >= 1
    assert outcome(machine)[0] in ("promoted", "refused")


def test_a_round_goes_on_after_the_machine_was_started_anew(machine: Machine) -> None:
    machine.write("credstore/attune.key", "0123456789abcdef" * 2)
    enrolled(machine)
    assert not (machine.folder / "lib" / "attune.key").exists()
    machine.run("systemd-run", "--quiet", "/usr/lib/attune/bin/attune", "adapt", "--now")
    machine.eventually(lambda: trains(machine), "attune-adapt.service", _ROUND_SECONDS)
    time.sleep(5)
    machine.halt()
    [checkpoint] = (machine.folder / "lib" / "jobs").rglob("*checkpoint*.safetensors")
    assert checkpoint.stat().st_size
    machine.start()
    machine.wait_for("attune.service")
    machine.run("systemd-run", "--quiet", "/usr/lib/attune/bin/attune", "adapt", "--now")
    machine.eventually(lambda: trains(machine), "attune-adapt.service", _ROUND_SECONDS)
    assert outcome(machine)[0] in ("promoted", "refused")


def test_a_user_s_own_session_has_an_attune_of_its_own(machine: Machine) -> None:
    on_tiny_engines(machine, 30)
    on_tiny_engines(machine, 30, "user")
    machine.start()
    machine.run("systemctl", "start", "attune.service")
    machine.run("useradd", "--create-home", "--groups", "attune", "ann")
    number = machine.run("id", "--user", "ann").strip()
    machine.run("systemctl", "start", f"user@{number}.service")

    def as_ann(*command: str) -> str:
        session = f"XDG_RUNTIME_DIR=/run/user/{number}"
        return machine.run(
            "runuser",
            "--user",
            "ann",
            "--",
            "env",
            session,
            "HOME=/home/ann",
            OWN_LIBRARY,
            *command,
        )

    def where() -> str:
        return str(
            json.loads(as_ann("/usr/lib/attune/bin/attune", "status", "--json"))["state_dir"]
        )

    assert where() == "/var/lib/attune", "whoever has none of their own means the machine's"
    as_ann("systemctl", "--user", "start", "attune.socket", "attune.service")
    assert where() == "/home/ann/.local/state/attune"
    assert as_ann("/usr/lib/attune/bin/attune", "ask", "hello").startswith("0 hello")
    assert machine.status()["counts"]["turns"] == 0
    as_ann("systemctl", "--user", "stop", "attune.socket", "attune.service")
    assert where() == "/var/lib/attune"


def test_recordings_in_a_home_are_heard_by_a_service_that_sees_no_homes(
    machine: Machine, general_speech: Path
) -> None:
    on_tiny_engines(machine, 30)
    machine.start()
    machine.run("systemctl", "start", "attune.service")
    machine.run("useradd", "--create-home", "--groups", "attune", "ann")
    process = machine.show("attune.service", "MainPID")

    def seen_by_the_service(path: str) -> bool:
        return "there" in machine.run(
            "sh", "-c", f"test -e /proc/{process}/root{path} && echo there", check=False
        )

    def as_ann(*command: str, given: str = "") -> str:
        who = ("runuser", "--user", "ann", "--", "env", "HOME=/home/ann", OWN_LIBRARY)
        return machine.run(*who, *command, given=given)

    def attune(*arguments: str) -> str:
        return as_ann("/usr/lib/attune/bin/attune", *arguments)

    recordings = [prompt.audio for prompt in read_prompts(general_speech)[:3]]
    rows = ""
    for number, recording in enumerate(recordings):
        private = f"/home/ann/speech/{number}.wav"
        there = f"/usr/share/attune/models/{recording.relative_to(cache_dir() / 'models')}"
        script = (
            "import sys, soundfile; from engines.audio.recordings import read_audio; from pathlib"
            f" import Path;soundfile.write('{private}', read_audio(Path('{there}')), 16000)"
        )
        as_ann(
            "sh",
            "-c",
            f'umask 077; mkdir --parents ~/speech; /usr/lib/attune/bin/python -c "{script}"',
        )
        assert not seen_by_the_service(private)
        rows += json.dumps({"audio": f"speech/{number}.wav", "text": f"Sentence {number}."}) + "\n"
    as_ann("sh", "-c", "umask 077; cat > ~/mine.jsonl", given=rows)
    attune("consent", "on")
    assert attune("enroll", "--from", "/home/ann/mine.jsonl").startswith("enrolled 3 utterances")
    assert machine.status()["counts"]["labels_by_origin"] == {"enrolled": 3}
    as_ann("cp", "/home/ann/speech/0.wav", "/tmp/said.wav")
    assert "a tone of" in attune("ask", "/tmp/said.wav"), "its own /tmp is not the service's"
    heard = [
        json.loads(line)
        for line in attune("listen", "--json", "/home/ann/speech/1.wav").splitlines()
    ]
    assert heard[-1]["event"] == "listened"
    assert heard[-1]["segments"] >= 1
    as_ann("mkfifo", "/home/ann/pipe")
    for command in (
        ("ask", "/home/ann/pipe"),
        ("listen", "/home/ann/pipe"),
        ("enroll", "--from", "/home/ann/pipe"),
    ):
        with pytest.raises(AssertionError, match="is not a file but a pipe"):
            attune(*command)
    assert machine.status()["attentive"] is False


@pytest.mark.parametrize("unit", SERVICES)
def test_units_are_well_formed_and_well_confined(unit: str) -> None:
    path = PROJECT / "systemd" / unit
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]
