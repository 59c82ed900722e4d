"""Networks of other projects, read from their own files: recognise, map, describe."""

from centernet.foreign.converting import Converted as Converted, open_foreign as open_foreign
