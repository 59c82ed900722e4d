# A server without torch: docker build -t centernet . && docker run --rm -p 8000:8000 centernet
FROM python:3.12-slim AS build
COPY . /source
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir "/source[serve]"

FROM python:3.12-slim
COPY --from=build /venv /venv
RUN useradd --system --create-home --uid 10001 centernet
USER centernet
WORKDIR /home/centernet
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health')"
ENTRYPOINT ["centernet", "serve", "--host", "0.0.0.0"]
CMD ["coco-lite"]
