# An image for nightly deletion batches and other unattended runs (docs/guides/deletion-batches.md):
#   docker build --tag unlearn-cli .
#   docker run --rm --volume /srv/unlearn:/srv/unlearn unlearn-cli batch run /srv/unlearn/deletion.yaml
# With a GPU add `--gpus all`. The exit code of the container is that of the command (docs/reference/exit-codes.md).
FROM python:3.12-slim

COPY . /source
RUN pip install --no-cache-dir '/source[remote,sign]' && rm -rf /source \
    && useradd --create-home unlearn

USER unlearn
WORKDIR /home/unlearn
# docker stop sends SIGTERM: the command ends its step, keeps its state and exits with 75.
STOPSIGNAL SIGTERM
ENTRYPOINT ["unlearn-cli"]
CMD ["--help"]
