# One image for all commands, with the versions of the lock files:
#   docker build -t widedeep .
#   mkdir -p data
#   docker run --rm -v "$PWD/data:/data" widedeep synthesize --ratings 1e5 --output raw
# Which build of PyTorch it gets is the choice of pip's settings, here PIP_EXTRA_INDEX_URL: the index of CPU builds
# makes the image gigabytes smaller.
FROM python:3.13-slim-trixie AS build
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /src
RUN python -m venv /opt/widedeep
ENV PATH=/opt/widedeep/bin:$PATH PIP_NO_CACHE_DIR=1
COPY requirements.lock requirements-torch.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock \
    && pip install -r requirements-torch.lock
COPY . .
RUN pip install --no-deps .

FROM python:3.13-slim-trixie
# hadolint ignore=DL3008 # the release's own patches are wanted
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-21-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 widedeep \
    && install --directory --owner widedeep --group widedeep /data
COPY --from=build /opt/widedeep /opt/widedeep
ENV PATH=/opt/widedeep/bin:$PATH
USER 1000
WORKDIR /data
ENTRYPOINT ["widedeep"]
CMD ["--help"]
