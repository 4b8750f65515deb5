# The service in a container: no compiler, no development tools, not root.
#   docker build -t offer-optimizer .
#   docker run -p 50051:50051 -v offer-optimizer-data:/data offer-optimizer

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/offer-optimizer
ENV PATH=/opt/offer-optimizer/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# First what changes seldom. Everything downloaded is checked against its hash.
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN pip install --require-hashes --no-deps --only-binary :all: -r requirements/runtime.txt
# The build backend stays in this stage's own Python; only the finished wheel reaches the environment.
RUN /usr/local/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /usr/local/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip install --no-deps --no-index dist/*.whl \
    && pip check

FROM python:3.13-slim
RUN useradd --system --user-group --uid 10001 --no-create-home --shell /usr/sbin/nologin offers \
    && install --directory --owner offers --group offers --mode 0700 /data
COPY --from=build /opt/offer-optimizer /opt/offer-optimizer
COPY examples/catalog.yaml /etc/offer-optimizer/catalog.yaml
ENV PATH=/opt/offer-optimizer/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER offers
# The ledger, the models and the secret of the visitors: keep it, and give one data directory to one container.
VOLUME /data
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["offer-optimizer", "health", "--target", "127.0.0.1:50051"]
ENTRYPOINT ["offer-optimizer"]
# Inside a container the loopback address can't be reached. Publish the port to trusted callers only; for others mount
# a certificate and a keys file, and give --tls-cert, --tls-key and --keys instead of --insecure-listen.
# The catalog seeds an empty /data; mount your own over it.
CMD ["serve", "--data", "/data", "--catalog", "/etc/offer-optimizer/catalog.yaml", \
     "--listen", "0.0.0.0:50051", "--insecure-listen"]
