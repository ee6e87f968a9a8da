"""The signature of webhooks."""

import base64
import hashlib
import hmac
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.webhooks import signing


def test_a_call_is_signed_as_the_standard_says() -> None:
    # the example of the standard's own reference implementation
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signing.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs_while_one_replaces_the_other() -> None:
    secrets = [signing.new_secret() for _ in range(2)]
    fields = signing.headers(secrets, "id", 7, b"{}")
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    digests = [base64.b64encode(hmac.digest(key, b"id.7.{}", hashlib.sha256)).decode() for key in keys]
    assert fields["webhook-signature"] == " ".join(f"v1,{digest}" for digest in digests)
    assert (fields["webhook-id"], fields["webhook-timestamp"]) == ("id", "7")


def test_the_library_of_the_standard_verifies_a_call_by_either_secret() -> None:
    secrets = [signing.new_secret() for _ in range(2)]
    body = b'{"type": "job.succeeded"}'
    fields = signing.headers(secrets, "msg_1", int(time.time()), body)
    for secret in secrets:
        assert Webhook(secret).verify(body, fields) == {"type": "job.succeeded"}
    for forged, secret in ((b"{}", secrets[0]), (body, signing.new_secret())):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(forged, fields)


def test_secrets_differ() -> None:
    assert len({signing.new_secret() for _ in range(10)}) == 10
