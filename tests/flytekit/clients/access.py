"""flytekit's two ways to a token, over TLS, and what it says where it has none."""
import hashlib
import os
import traceback

import kit
from flytekit.clients.auth.authenticator import ClientCredentialsAuthenticator
from flytekit.clients.auth.keyring import Credentials
from flytekit.configuration import AuthType, Config, PlatformConfig
from flytekit.remote import FlyteRemote


def remote(**settings) -> FlyteRemote:
    platform = PlatformConfig(
        endpoint=os.environ["FLYTE_PLATFORM_URL"], insecure=False, ca_cert_file_path=os.environ["CA"], **settings
    )
    return FlyteRemote(Config(platform=platform), default_project="flytesnacks", default_domain="development")


def client_secret(secret: str) -> FlyteRemote:
    return remote(auth_mode=AuthType.CLIENTSECRET, client_id="ci", client_credentials_secret=secret)


def failing(settings: dict) -> str:
    try:
        return str(remote(**settings).client.get_domains())
    except Exception as error:
        return "".join(traceback.format_exception(error))


exchanged = []
exchange = ClientCredentialsAuthenticator.refresh_credentials


def counted(self):
    exchanged.append(self)
    return exchange(self)


ClientCredentialsAuthenticator.refresh_credentials = counted

to = client_secret(os.environ["SECRET"])
digest = hashlib.md5(b"").digest()
upload = to.client.get_upload_signed_url("flytesnacks", "development", content_md5=digest, filename="f").signed_url
execution = kit.wait(to, kit.begin(to, "values", "empty", {}))
said = {
    **kit.shown(execution),
    "principal": execution.spec.metadata.principal,
    "remote": kit.outputs(execution, "values", "empty"),
    "upload": upload,
}
for authenticator in set(exchanged):
    authenticator._creds = Credentials("bm.1.00.ci")
said["again"] = len(to.client.get_domains()) == 3
said["exchanged"] = len(exchanged)

command = os.environ["COMMAND"].split(" ")
other = remote(auth_mode=AuthType.EXTERNALCOMMAND, command=command)
domains = len(other.client.get_domains())
kit.answer({
    "ClientSecret": said,
    "ExternalCommand": {"domains": domains, "second": os.path.exists(command[1] + ".second")},
    "wrong secret": failing(
        {"auth_mode": AuthType.CLIENTSECRET, "client_id": "ci", "client_credentials_secret": "wrong"}
    ),
    "nothing set": failing({}),
})
