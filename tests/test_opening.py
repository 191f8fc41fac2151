"""GDAL reads files of pixels: no others that they name, and no addresses."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from unet.annotations.placing import in_pixels
from unet.annotations.reading import read_file
from unet.files.errors import DataError
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_mask
from unet.imagery.opening import open_raster
from unet.imagery.rasters import Scene
from unet.imagery.reading import read_image
from unet.imagery.stored import stored_as
from unet.prediction.truth import open_truth

SECRET = 77


@pytest.fixture(scope="module")
def server():
    """A server on this machine, and the addresses that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *words):
            """Silent."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}", asked
    made.shutdown()


def raster(path, value):
    """A GeoTIFF of one value, on the ground."""
    with rasterio.open(
        path, "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8",
        crs="EPSG:32637", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 1e6),
    ) as made:  # fmt: skip
        made.write(np.full((1, 30, 40), value, np.uint8))
    return path


def vrt(secret):
    return f"""<VRTDataset rasterXSize="40" rasterYSize="30">
        <SRS>EPSG:32637</SRS>
        <GeoTransform>500000, 1, 0, 1000000, 0, -1</GeoTransform>
        <VRTRasterBand dataType="Byte" band="1"><SimpleSource>
        <SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand>
        </SimpleSource></VRTRasterBand></VRTDataset>"""


def wms(address):
    return f"""<GDAL_WMS><Service name="TMS">
        <ServerUrl>{address}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>
        <DataWindow><UpperLeftX>-1</UpperLeftX><UpperLeftY>1</UpperLeftY>
        <LowerRightX>1</LowerRightX><LowerRightY>-1</LowerRightY>
        <TileLevel>0</TileLevel><TileCountX>1</TileCountX>
        <TileCountY>1</TileCountY></DataWindow>
        <BlockSizeX>64</BlockSizeX><BlockSizeY>64</BlockSizeY>
        <BandsCount>3</BandsCount></GDAL_WMS>"""


def polygons(path, image):
    (annotation,) = read_file(path).values()
    return in_pixels(annotation, image)


@pytest.mark.parametrize("ending", [".tif", ".jp2", ".png", ".img"])
@pytest.mark.parametrize("content", ["vrt", "wms"])
def test_a_file_of_another_kind_leads_nowhere(
    tmp_path, server, ending, content
):
    address, asked = server
    secret = raster(tmp_path / "secret.tif", SECRET)
    path = tmp_path / f"photo{ending}"
    path.write_text(vrt(secret) if content == "vrt" else wms(address))
    path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset/>")
    drawn = tmp_path / "a.geojson"
    drawn.write_text(
        '{"type": "Polygon", "coordinates": [[[1, 1], [1, 2], [2, 2], [1, 1]]]}'
    )
    good = raster(tmp_path / "good.tif", 1)

    for refuse in (
        lambda: read_image(path),
        lambda: read_mask(path),
        lambda: Scene(path),
        lambda: polygons(drawn, path),
        lambda: open_truth(path, good, ["building"]),
    ):
        with pytest.raises(DataError, match=f"photo{ending}"):
            refuse()
    assert stored_as(path) is None
    with path.open("rb") as file:
        assert stored_as(file) is None
    assert read_georeference(path) is None
    assert asked == []


def test_a_sidecar_asks_no_server(tmp_path, server):
    address, asked = server
    path = raster(tmp_path / "a.tif", 3)
    for name in ("a.tif.ovr", "a.tif.msk"):
        (tmp_path / name).write_text(wms(address))
    with open_raster(path) as opened:
        assert opened.overviews(1) == []
        assert (opened.read(1, out_shape=(5, 6)) == 3).all()
        assert opened.dataset_mask().all()
    assert asked == []


def test_a_vrt_that_was_chosen_names_files_of_this_machine(tmp_path, server):
    address, asked = server
    secret = raster(tmp_path / "secret.tif", SECRET)
    path = tmp_path / "mosaic.vrt"
    path.write_text(vrt(secret))
    with open_raster(path) as opened:
        assert (opened.read(1) == SECRET).all()
    for place in (f"/vsicurl/{address}/a.tif", f"{address}/a.tif"):
        path.write_text(vrt(place))
        with pytest.raises(RasterioIOError, match="names a place with"):
            open_raster(path)
    assert asked == []


def test_a_name_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secret = raster(tmp_path / "secret.tif", SECRET)
    for name in ("GTIFF_DIR:1:secret.tif", "zip+file:secret.tif"):
        shutil.copy(secret, name)
        with rasterio.open(tmp_path / name, "r+", driver="GTiff") as opened:
            opened.write(np.full((1, 30, 40), 5, np.uint8))
        with open_raster(name) as opened:
            assert (opened.read(1) == 5).all()
