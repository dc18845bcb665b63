# syntax=docker/dockerfile:1
# Every stage of Python starts from the same slim image; name another one, or a mirror's, with
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim .
ARG PYTHON_IMAGE=python:3.13-slim
ARG NODE_IMAGE=node:22-slim

# GraphiQL: a few files, built from locked npm packages.
FROM ${NODE_IMAGE} AS graphiql
WORKDIR /build
COPY app/server/graphiql/package.json app/server/graphiql/package-lock.json app/server/graphiql/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY app/server/graphiql/ ./
RUN npm run build

# The packages: locked, every file checked against its hash, into an environment of their own.
FROM ${PYTHON_IMAGE} AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/build && python -m venv /opt/gateway
COPY requirements/ requirements/
RUN /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
 && /opt/gateway/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
COPY --from=graphiql /build/dist/ app/server/graphiql/dist/
# The build's own Python makes the wheel, so that no build tool gets into the gateway's.
RUN USER_GATEWAY_SKIP_GRAPHIQL=1 /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/gateway/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/gateway/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN python -m pip uninstall --yes pip \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=python /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8000 \
    GATEWAY_LOG__FORMAT=json
WORKDIR /srv
USER 10001
EXPOSE 8000
# Asks the gateway itself, never a source; Python is there, curl is not.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['GATEWAY_PORT'] + '/healthz', timeout=2)"]
# Exec form: the gateway is process 1 and gets SIGTERM itself.
ENTRYPOINT ["user-gateway"]
CMD ["serve"]
