# The service alone: exported models (polyfuse export) over HTTP, without torch.
#   docker build -t polyfuse .
#   docker run --rm -p 8000:8000 -e POLYFUSE_TOKENS=... -v "$PWD/house-price-onnx:/model:ro" polyfuse
FROM python:3.12-slim AS build
COPY pyproject.toml README.md LICENSE /source/
COPY src /source/src
RUN python -m venv /opt/polyfuse && /opt/polyfuse/bin/pip install --no-cache-dir "/source[runtime]"

FROM python:3.12-slim
COPY --from=build /opt/polyfuse /opt/polyfuse
RUN useradd --system --uid 10001 --no-create-home polyfuse
USER 10001
ENV PATH=/opt/polyfuse/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=5)"]
ENTRYPOINT ["polyfuse", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/model"]
