# The image of a worker. `make wheel` first: what is installed is the wheel that was tried, nothing is built here.
#
#   make wheel && docker build --tag retryd:0.1.0 .
#
# Both stages stand on this base, pinned by its version. Pin it by its digest too where your policy asks for it:
#   --build-arg BASE=docker.io/library/python:3.13.12-slim-trixie@sha256:…
ARG BASE=docker.io/library/python:3.13.12-slim-trixie

FROM ${BASE} AS build
COPY requirements/run.txt dist/retryd-*.whl deploy/install.sh /build/
RUN ["/build/install.sh", "/opt/retryd", "/build"]

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="retryd" \
      org.opencontainers.image.description="The retry daemon for PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN ["useradd", "--uid", "10001", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "retryd"]
COPY --from=build /opt/retryd /opt/retryd

# All interfaces of the container: what is served there needs no token, and its network decides who can reach it.
ENV PATH=/opt/retryd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    RETRYD_HTTP__HOST=0.0.0.0

# Your own code stands here: the current directory is the first place that `--app` and handlers are imported from.
WORKDIR /app
USER 10001:10001
EXPOSE 7387
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["retryd", "health", "--live"]
ENTRYPOINT ["retryd"]
CMD ["run"]
