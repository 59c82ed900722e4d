"""A page that says how good a model is and where it fails, and a comparison of two models on the same images."""

from .comparing import Comparison as Comparison, compare as compare
from .diagnosis import diagnose as diagnose
from .gathering import Subject as Subject, evaluate as evaluate, open_subject as open_subject
from .page import write_report as write_report
