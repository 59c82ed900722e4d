"""The words of other programs for what the commands do, and ours: a table for each command.

`yolo`, `rfdetr`, torchvision's references and the like have other names, and `key=value` in the place of options.
Nothing of that is accepted in silence: `centernet.cli.corrections` answers with the whole command as it is here.
"""

from __future__ import annotations

from typing import NamedTuple


class Ours(NamedTuple):
    """Our words for one of theirs.

    Args:
        words: with `{}` for the value, or `{form}` for one of `FORMS` of it; "" where nothing is to be written, None
            where there is no counterpart.
        why: said beside it.
        off: our words for a switch that is off, `save=False`.
        valued: a value follows the word; False for a switch.
    """

    words: str | None
    why: str = ""
    off: str = ""
    valued: bool = False


Table = dict[str, Ours]


def _table(*rows: tuple[str, Ours]) -> Table:
    return {name: ours for names, ours in rows for name in names.split()}


def _to(words: str, why: str = "") -> Ours:
    return Ours(words, why, valued="{" in words and words.count("{") > words.count("{drawn}"))


def so(why: str, off: str = "", *, valued: bool = False) -> Ours:
    """Say that nothing is to be written."""
    return Ours("", why, off, valued)


def no(why: str, *, switch: bool = False) -> Ours:
    """Say that there is no counterpart."""
    return Ours(None, why, valued=not switch)


WITHOUT = "it has no counterpart here"
NO_NMS = "peaks of a heatmap are single: no boxes are suppressed, unless the model's own model.nms_iou says so"
MODEL_SIZE = "images are resized to the size the model was trained at; `export --input-size` writes a file of another"
DEFAULT_FOLDER = "a folder given by --output may be there already"
IN_MODEL = "the model has its class names and size in itself"
ONE_BY_ONE = "frames are read one by one anyway"
AUGMENTATION = "augmentation is data.augmentation in the configuration"
ALWAYS = "it is so without a word"

_COMMON = _table(
    ("task mode", so("the command says it")),
    ("exist_ok overwrite", so(DEFAULT_FOLDER)),
    ("verbose plots", so(ALWAYS)),
)
_OUTPUT = _table(("project name output_dir out_dir save_dir outdir out", _to("--output {}")))
_RUN = _COMMON | _table(
    ("source input image images i video video_path source_path source_video_path", _to("{}")),
    ("weights checkpoint ckpt ckpt_path m pretrained pretrain_weights model_path", _to("--model {}")),
    (
        "conf conf_thres conf_thresh confidence confidence_threshold threshold thresh score_thr score_thresh min_score "
        "pred_score_thr box_score_thresh vis_thresh",
        _to("--score-threshold {}"),
    ),
    ("iou iou_thres iou_thresh iou_threshold nms nms_thr nms_thres nms_thresh nms_threshold", no(NO_NMS)),
    ("imgsz img_size image_size img size resolution shape", no(MODEL_SIZE)),
    ("max_det max_detections detections_per_img box_detections_per_img top_k topk k", _to("--num-detections {}")),
    ("batch b bs", _to("--batch-size {}")),
    ("vid_stride frame_stride stride frame_skip skip_frames", _to("--every {}")),
    ("show view_img display", _to("--show")),
    ("line_thickness box_thickness thickness", _to("--line-width {}")),
    ("hide_labels", _to("--labels none")),
    ("hide_conf", _to("--labels name")),
    ("show_labels", so(ALWAYS, "--labels none")),
    ("show_conf show_score", so(ALWAYS, "--labels name")),
    ("show_boxes", so(ALWAYS, "--format json")),
    ("data data_yaml names", so(IN_MODEL, valued=True)),
    ("half fp16", no("`centernet export --precision float16` writes a file that runs so", switch=True)),
    ("dnn", no("an .onnx file runs with onnxruntime", switch=True)),
    ("augment tta", no("there is no test-time augmentation", switch=True)),
    ("agnostic_nms", no(NO_NMS, switch=True)),
    ("retina_masks visualize update compile optimize_for_inference", no(WITHOUT, switch=True)),
    ("embed user", no(WITHOUT)),
    ("stream stream_buffer rect", so(ONE_BY_ONE)),
    ("gpu gpu_id gpus", _to("--device {}")),
    ("num_threads workers j", _to("--threads {}")),
) | _OUTPUT  # fmt: skip
_DETECT = _RUN | _table(
    ("save save_img save_images save_frames", so("images are drawn without it", "--format json")),
    ("nosave", _to("--format json")),
    ("save_txt", _to("--format {drawn},txt")),
    ("save_crop save_crops", _to("--format {drawn},crops")),
    ("save_json", _to("--format {drawn},json")),
    ("save_csv", _to("--format {drawn},csv")),
    ("save_conf", _to("--format {drawn},txt_scores")),
)  # fmt: skip
_TRACK = _RUN | _table(
    ("save save_img save_images save_video", so("a video is drawn without it", "--format mot")),
    ("nosave", _to("--format mot")),
    ("save_txt save_conf mot_output", so("tracks.txt is written without it", "--format video")),
    ("save_json", _to("--format mot,video,json")),
    ("save_csv", _to("--format mot,video,csv")),
    ("save_crop save_crops", _to("--format mot,video,crops")),
    ("tracker tracking_method tracker_type", _to("--preset {preset}")),
    ("persist", so("identities go on to the end of each source")),
    ("fps", _to("--frame-rate {}")),
    ("track_thresh track_high_thresh track_activation_threshold", _to("--high-score {}")),
    ("track_low_thresh", _to("--low-score {}")),
    ("new_track_thresh", _to("--new-score {}")),
    ("track_buffer lost_track_buffer", _to("--lost-seconds {seconds}", "frames at 30 a second")),
    ("min_hits minimum_consecutive_frames", _to("--confirm-hits {}")),
    ("match_thresh minimum_matching_threshold", no("--iou-limit is a limit of its own kind: see --help")),
    ("with_reid", so("a model with embeddings is tracked by them")),
    ("reid_model reid_weights", no("embeddings are a head of the model itself")),
)  # fmt: skip
_TRAIN = _COMMON | _table(
    ("hsv_h hsv_s hsv_v degrees translate scale shear perspective flipud fliplr bgr mosaic mixup cutmix copy_paste "
     "auto_augment erasing close_mosaic crop_fraction data_augmentation hyp", no(AUGMENTATION)),
    ("single_cls", no("`centernet convert-data --class-names` writes data of chosen classes", switch=True)),
    ("profile rect dfl cls box pose kobj label_smoothing time", no(WITHOUT)),
    ("save", so(ALWAYS)),
    ("save_period", no("the best and the last weights are kept")),
)  # fmt: skip
FIT = _TRAIN | _OUTPUT | _table(
    ("epochs e max_epochs num_epochs", _to("--trainer.max_epochs {}")),
    ("steps max_steps", _to("--trainer.max_steps {}")),
    ("batch batch_size b bs", _to("--data.batch_size {}")),
    ("imgsz img_size image_size img size resolution", _to("--model.preprocessing.size {size}")),
    ("lr lr0 learning_rate", _to("--optimization.lr {}")),
    ("wd weight_decay", _to("--optimization.weight_decay {}")),
    ("warmup_epochs lrf momentum warmup_momentum warmup_bias_lr", no("see --optimization.warmup, a share of the run")),
    ("nbs", _to("--optimization.reference_batch {}")),
    ("cos_lr", _to("--optimization.schedule cosine")),
    ("optimizer opt", _to("--optimization.optimizer {optimizer}")),
    ("workers num_workers j", _to("--data.num_workers {}")),
    ("device gpus gpu", _to("{devices}")),
    ("weights pretrained pretrain_weights", _to("--start_from {}")),
    ("checkpoint ckpt", _to("--ckpt_path {}")),
    ("seed", _to("--seed_everything {}")),
    ("amp", so("the precision is chosen by the device", "--trainer.precision 32-true")),
    ("deterministic", _to("--trainer.deterministic true")),
    ("cache", _to("--data.cache {cache}")),
    ("val", so(ALWAYS, "--trainer.limit_val_batches 0")),
    ("freeze", no("model.backbone.init_args.frozen_stages counts stages of a backbone, not layers")),
    ("accumulate grad_accum_steps", _to("--trainer.accumulate_grad_batches {}")),
    ("fraction", _to("--trainer.limit_train_batches {}")),
    ("multi_scale", no("data.sizes has the sizes that batches may have", switch=True)),
    ("cfg config_file", _to("--config {}")),
    ("sync_bn", _to("--trainer.sync_batchnorm true")),
    ("clip_max_norm", _to("--trainer.gradient_clip_val {}")),
    ("early_stopping_patience", _to("--patience {}")),
    ("use_ema ema", so(ALWAYS, "--ema_decay 0")),
    ("patience", _to("--patience {}")),
    ("resume", _to("--resume")),
    ("data dataset_dir dataset data_path", no("data.train and data.val in the configuration say it")),
)  # fmt: skip
_VALIDATE = FIT | _table(
    ("weights checkpoint ckpt model pretrained", _to("--ckpt_path {}")),
    ("iou iou_thres nms_thresh", _to("--model.nms_iou {}")),
    ("max_det", _to("--model.num_detections {}")),
    ("conf conf_thres threshold", no("AP needs all scores")),
    ("save_json save_txt save_conf save_hybrid", no("`centernet detect --format json` writes them", switch=True)),
    ("half augment plots dnn test_only", no(WITHOUT, switch=True)),
)  # fmt: skip
FINETUNE = _TRAIN | _OUTPUT | _table(
    ("data dataset dataset_dir data_path data_dir dataset_file", _to("{}")),
    ("weights pretrained pretrain_weights cfg checkpoint", _to("--model {}")),
    ("e num_epochs max_epochs", _to("--epochs {}")),
    ("batch b bs", _to("--batch-size {}")),
    ("imgsz img_size image_size img resolution", _to("--size {}")),
    ("num_workers j", _to("--workers {}")),
)  # fmt: skip
_EXPORT = _COMMON | _table(
    ("weights model checkpoint ckpt", _to("{}")),
    ("include", _to("--format {}")),
    ("imgsz img_size image_size shape", _to("--input-size {sides}")),
    ("half fp16", _to("--precision float16")),
    ("data", no("--calibrate takes a folder of images")),
    ("conf", _to("--score-threshold {}")),
    ("max_det", _to("--num-detections {}")),
    ("dynamic simplify nms optimize keras", so("the batch is free, the decode in the graph")),
    ("device workspace fraction iou batch_size", no(WITHOUT)),
    ("batch", so("the number of images is free", valued=True)),
    ("output_dir project name save_dir", no("--output names the file")),
)  # fmt: skip
_TRUTH = _table(
    ("gt truth ground_truth gt_folder annotations ann anno data", _to("{}")),
    ("results detections dt predictions pred trackers_folder res", _to("{}")),
) | _COMMON | _OUTPUT  # fmt: skip
TABLES: dict[str, Table] = {
    "detect": _DETECT,
    "track": _TRACK,
    "fit": FIT,
    "validate": _VALIDATE,
    "finetune": FINETUNE,
    "export": _EXPORT,
    "benchmark": _COMMON
    | _OUTPUT
    | _table(
        ("weights model checkpoint", _to("{}")),
        ("source data image", _to("--images {}")),
        ("batch b", _to("--batch-size {}")),
        ("imgsz", no(MODEL_SIZE)),
        ("half int8 format", no("a file of `centernet export --precision` is measured as it is")),
    ),
    "evaluate": _TRUTH,
    "evaluate-tracking": _TRUTH,
    "check": _COMMON
    | _table(
        ("data dataset source", _to("{}")),
        ("imgsz img_size", _to("--size {size_text}")),
        ("j num_workers", _to("--workers {}")),
    ),
    "label": _COMMON
    | _OUTPUT
    | _table(
        ("source input image i video data", _to("{}")),
        ("weights checkpoint ckpt det_model base_model", _to("--model {}")),
        ("conf conf_thres confidence score_threshold score_thr score_thresh min_score", _to("--threshold {}")),
        ("iou iou_thres iou_thr", _to("--fusion-iou {}")),
        ("imgsz img_size image_size", _to("--sizes {size_text}")),
        ("max_det max_detections", _to("--num-detections {}")),
        ("batch b bs", _to("--batch-size {}")),
        ("vid_stride frame_stride frame_skip", _to("--every {}")),
        ("augment tta", _to("--flip")),
        ("names class_names", _to("--classes {}")),
        ("gpu gpus", _to("--device {}")),
        ("workers num_workers num_threads", _to("--threads {}")),
    ),
    "convert-data": _COMMON
    | _OUTPUT
    | _table(("data dataset source input", _to("{}")), ("output_format target", _to("--to {}"))),
}
"""Command → other programs' words, without dashes and with underscores → ours."""

_COCO_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO = tuple(_COCO_NAMES.split(","))
"""COCO's classes in their order, by whose places other programs name them."""
CLASSES = Ours("--classes {names}", "classes go by name; these are COCO's of those numbers", valued=True)
"""For numbers in the place of names."""

COMMANDS = {
    "predict": "detect", "infer": "detect", "inference": "detect", "detection": "detect", "train": "finetune",
    "finetuning": "finetune", "val": "validate", "eval": "evaluate", "test": "validate", "mot": "track",
    "convert": "convert-data", "bench": "benchmark", "annotate": "label", "autolabel": "label",
}  # fmt: skip
"""Commands of others → ours."""
PROGRAMS = ("yolo", "ultralytics", "rfdetr", "rf-detr")
TASKS = ("detect", "segment", "classify", "pose", "obb")
MODES = ("predict", "train", "val", "track", "export", "benchmark", "detect", "fit", "validate")
