# captioner on a CPU: captions pictures and serves the web page.
#     docker build -t captioner .
#     docker run --rm -v "$PWD/data/samples:/pictures:ro" captioner caption .
#     docker run --rm -p 127.0.0.1:8000:8000 captioner             # then open http://127.0.0.1:8000

FROM python:3.11-slim AS build
RUN python -m venv /opt/captioner
ENV PATH=/opt/captioner/bin:$PATH
WORKDIR /source
COPY tests/constraints.txt tests/
# torch's CPU build is a fifteenth of what PyPI has for Linux, which brings CUDA along.
RUN pip install --no-cache-dir torch torchvision -c tests/constraints.txt \
    --index-url https://download.pytorch.org/whl/cpu
COPY . .
RUN pip install --no-cache-dir '.[heif,onnx,web]' -c tests/constraints.txt

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 captioner
COPY --from=build /opt/captioner /opt/captioner
ENV PATH=/opt/captioner/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /pictures
EXPOSE 8000
# Of the server; a container that captions and ends is gone before it is asked.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/api/about', timeout=4)"]
ENTRYPOINT ["captioner"]
# All addresses of the container; which of the machine's lead to it, docker run -p says.
CMD ["serve", "--host", "0.0.0.0"]
