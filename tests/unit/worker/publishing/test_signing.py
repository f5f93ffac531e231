"""Signed artifacts: what the holder of the key has signed is believed, and nothing else."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from service.contract.failures import FailureCode
from service.contract.signatures import SIGNATURE_NAME
from service.packing.signatures import (
    BrokenSignature,
    ForeignKey,
    KeyNotUsable,
    NoSignature,
    NotAsSigned,
    SignatureFault,
    check_signature,
    key_sha256,
)
from tests.support.signing_keys import key_pair
from worker.failures import JobFailure
from worker.publishing.signing import key_facts, sign

DOCS = Path(__file__).parents[4] / "docs" / "guides" / "sign.md"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path / "keys", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifact"
    (made / "templates").mkdir(parents=True)
    (made / "templates" / "a.jinja").write_text("x")
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 100)
    (made / "SHA256SUMS").write_text("sums\n")
    return made


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_signed_artifact_verifies(folder: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private, public = key_pair(tmp_path / "keys", ec.generate_private_key(curve))
    facts = sign(folder, private)
    assert facts.key_sha256 == key_sha256(public) == key_facts(private).key_sha256
    assert facts.path == SIGNATURE_NAME
    check_signature(folder, public)
    (folder / "manifest.json").write_text("{}")  # it is written after the signature
    check_signature(folder, public)


def alter(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


CHANGES: dict[str, Callable[[Path], object]] = {
    "model.safetensors": alter,
    "a.jinja": lambda folder: (folder / "templates" / "a.jinja").unlink(),
    "pytorch_model.bin": lambda folder: (folder / "pytorch_model.bin").write_bytes(b"code"),
    "is a link": lambda folder: (folder / "link").symlink_to("/etc/passwd"),
}


@pytest.mark.parametrize("named", CHANGES)
def test_any_change_is_reported_with_the_file_name(folder: Path, keys: tuple[Path, Path], named: str) -> None:
    sign(folder, keys[0])
    CHANGES[named](folder)
    with pytest.raises(NotAsSigned, match=re.escape(named)):
        check_signature(folder, keys[1])


def test_files_derived_from_signed_ones_may_be_present(folder: Path, keys: tuple[Path, Path]) -> None:
    sign(folder, keys[0])
    (folder / "unpacked.safetensors").write_bytes(b"x")
    with pytest.raises(NotAsSigned, match=r"unpacked\.safetensors"):
        check_signature(folder, keys[1])
    check_signature(folder, keys[1], ["unpacked.safetensors"])


def test_a_signature_by_another_key_is_rejected(folder: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    stranger, others = key_pair(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    sign(folder, stranger)
    with pytest.raises(ForeignKey, match=key_sha256(others)):
        check_signature(folder, keys[1])
    bundle = json.loads((folder / SIGNATURE_NAME).read_bytes())
    bundle["verificationMaterial"]["publicKey"]["hint"] = key_sha256(keys[1])
    (folder / SIGNATURE_NAME).write_text(json.dumps(bundle))
    with pytest.raises(BrokenSignature):
        check_signature(folder, keys[1])


def test_a_changed_or_missing_signature_is_reported(folder: Path, keys: tuple[Path, Path]) -> None:
    with pytest.raises(NoSignature):
        check_signature(folder, keys[1])
    sign(folder, keys[0])
    good = (folder / SIGNATURE_NAME).read_text()
    bundle = json.loads(good)
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    for wrong in (json.dumps(bundle), good[: len(good) // 2], "", "[]", "{}", "[" * 5000):
        (folder / SIGNATURE_NAME).write_text(wrong)
        with pytest.raises(BrokenSignature):
            check_signature(folder, keys[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ed25519.Ed25519PrivateKey.generate(),
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["ed25519", "rsa", "secp256k1"],
)
def test_keys_of_other_types_are_refused_by_sign_and_verify(
    folder: Path, tmp_path: Path, make: Callable[[], PrivateKeyTypes]
) -> None:
    private, public = key_pair(tmp_path / "keys", make())
    with pytest.raises(JobFailure) as caught:
        sign(folder, private)
    assert caught.value.code is FailureCode.INTERNAL
    with pytest.raises(KeyNotUsable):
        check_signature(folder, public)


def test_an_unusable_key_is_refused_without_its_contents(folder: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path / "locked", ec.generate_private_key(ec.SECP256R1()), b"password")
    (tmp_path / "text.pem").write_text("not a key")
    for wrong in (private, public, tmp_path / "text.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(JobFailure) as caught:
            key_facts(wrong)
        assert str(wrong) not in caught.value.detail
    for wrong in (private, tmp_path / "text.pem", tmp_path / "nowhere.pem"):
        with pytest.raises(KeyNotUsable, match="openssl"):
            check_signature(folder, wrong)


def test_the_private_key_is_not_in_the_artifact(folder: Path, keys: tuple[Path, Path]) -> None:
    sign(folder, keys[0])
    lines = [line for line in keys[0].read_text().splitlines() if "KEY" not in line]
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    secret = base64.b64decode("".join(lines))
    number = secret[36:68]  # the private number of a P-256 key in PKCS#8
    assert len(number) == 32
    for form in (*(line.encode() for line in lines), number, number.hex().encode(), base64.b64encode(number)):
        assert form not in written


def test_the_commands_of_the_page_create_working_keys(folder: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    making, _, checking = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    done = subprocess.run(["bash", "-euc", making], cwd=tmp_path, capture_output=True, text=True, check=True)
    facts = sign(folder, tmp_path / "signing-key.pem")
    assert done.stdout.split()[-2] == facts.key_sha256
    check_signature(folder, tmp_path / "signing-key.pub.pem")
    (folder / "manifest.json").write_text("{}")
    folder.rename(tmp_path / "pruned")
    command = checking.replace("model_signing", f"{sys.executable} -m model_signing")
    told = subprocess.run(["bash", "-euc", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_fault_is_documented() -> None:
    page = DOCS.read_text()
    assert [fault.type for fault in SignatureFault.__subclasses__() if f"| `{fault.type}` |" not in page] == []
