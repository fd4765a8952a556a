"""The sources of records in the manifest: one section per format; some have a short form with only the path."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from unlearn_cli.schema.spelling import Name, Scalar, fit_scalars
from unlearn_cli.schema.table_columns import (
    TEXT_SUFFIXES,
    CategoryColumns,
    CategoryKind,
    DateParts,
    Delimiter,
    Encoding,
    Header,
    NumberMark,
    Separator,
    Units,
    list_categories,
)


def _refuse_empty(path: Any) -> Any:
    if path is None or path == "":
        raise ValueError("is empty; write a path ('~' without quotes is nothing in YAML; the user's folder is '~/')")
    return path


FilePath = Annotated[Path, Field(strict=False), BeforeValidator(_refuse_empty)]
Share = Annotated[float, Field(gt=0, lt=1)]


BESIDE_FORMATS = {"rows", "dates"}  # the keys of a source that are not formats


def _check_date_format(text: str) -> str:
    """Check that text is a date format: it can read the dates that it writes."""
    moment = datetime(2013, 1, 31, 14, 45, 59)
    try:
        datetime.strptime(moment.strftime(text), text)
    except ValueError:
        raise ValueError("is not a date format; expected a format of strptime, such as '%d-%m-%Y %H:%M'") from None
    if "%" not in text:
        raise ValueError("has no part of a date; expected a format of strptime, such as '%d-%m-%Y %H:%M'")
    return text


DateFormat = Annotated[str, AfterValidator(_check_date_format)]


def added(default: Any, description: str) -> Any:
    """Describe a key that the first manifests did not have: unused, it does not change the digest of a manifest."""
    return Field(default=default, description=description, exclude_if=lambda value: value == default)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def fit_scalars(cls, value: Any) -> Any:
        """Convert unquoted scalars as each field needs them: the text for a name, otherwise the number."""
        return fit_scalars(cls, value) if isinstance(value, dict) else value


class ShortSection(Section):
    """A section that may be written as only the value of its first field."""

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, value: Any) -> Any:
        return {next(iter(cls.model_fields)): value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the short form to the JSON Schema."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core_schema))]}


class PathSection(ShortSection):
    path: FilePath = Field(description="of the file or folder")


class ImageSection(PathSection):
    """A source whose samples may be image files."""

    unreadable: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="images that cannot be decoded; skip: omit and count them (decodes all images at the start)",
    )


class ImageFolder(ImageSection):
    """A folder with one folder of images per class; a record's id is its path below the folder."""

    annotations: FilePath | None = added(
        None,
        "a file with the name and the class of each image, instead of a folder per class; default: val_annotations.txt "
        "of Tiny-ImageNet, if it is in the folder",
    )


class Webdataset(ImageSection):
    """Tar files in WebDataset's format: files of a record have the same name up to the first dot, which is its id."""

    path: FilePath = Field(description="one tar file, or several: train-{000..009}.tar")
    label: str = Field(default="cls", description="the label's file, by its suffix; or json.NAME, a field of a .json")
    image: str | None = Field(default=None, description="the suffix of the image; default: the first image")


TEXT_KEYS = {
    "missing",
    "delimiter",
    "encoding",
    "header",
    "skip_lines",
    "decimal",
    "thousands",
    "units",
}  # of tables that are text
TEXT_ENDINGS = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES))


class Table(ImageSection):
    """A csv, jsonl or parquet file with one record per row: a column of images, or columns of features or text.

    Tables of text (.csv, .tsv, .tab, .txt, .data, .dat, .train, .test, each also .gz) are read by the same rules. The
    path may also be several parquet files (train-*.parquet), or a folder of save_to_disk of Hugging Face's datasets.
    """

    label: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="the column of labels; or one column per class, in the order of the classes: 1 in the column of a "
        "row's class, 0 in the others. multilabel: a column of lists, or of cells such as 'cat|dog'; or one column per "
        "label, with 1 and 0, 1 and -1, true and false or yes and no"
    )
    id: str | None = Field(default=None, description="the column of record ids; default: the row's number")
    image: str | None = Field(
        default=None,
        description="the column of images: paths below `root`, bytes ({bytes, path} of Hugging Face, too) or base64",
    )
    root: FilePath | None = Field(
        default=None, description="the folder of the image paths; default: the table's folder"
    )
    suffix: Annotated[str, Field(pattern=r"^\.\w+$")] | None = added(
        None, "the end of the names of image files, such as .jpg, if the column does not have it"
    )
    features: list[str] | None = Field(
        default=None, description="columns of numbers; default: all except label, id and `ignore`"
    )
    ignore: list[str] = Field(default_factory=list, description="columns that are not features")
    text: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="columns of text, instead of features or next to those that are listed; needs tokens in "
        "data.transform",
    )
    missing: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="csv: values that stand for an empty cell, such as NA"
    )
    delimiter: Delimiter | None = added(
        None, "csv: the character between cells, or 'whitespace'; default: tab in a .tsv or .tab, otherwise detected"
    )
    encoding: Encoding = added("utf-8", "csv: how the text is encoded, such as utf-16, cp1252 or latin-1")
    header: Header = added(
        True, "csv: false if the first line is a row (columns are then column_0, column_1, ...), or a list of names"
    )
    skip_lines: NonNegativeInt = added(0, "csv: number of lines before the table")
    decimal: NumberMark = added(
        ".", "csv: the mark before decimals, such as ','; all cells that are such numbers are read with a point instead"
    )
    thousands: NumberMark | None = added(
        None, "csv: the mark between groups of three digits, such as '.' in 1.234,5 or ',' in 1,234.5; it is removed"
    )
    units: Units = added(
        [],
        "csv: text before or after numbers that is removed, such as ['$', '%'] for $5 and 12 %, which is 12, not 0.12",
    )
    one_hot: CategoryColumns = added(
        [],
        "columns of categories: a feature 0 or 1 per category of train and one for all others; or the categories of "
        "each column: {COLUMN: [a, b]}",
    )
    ordinal: CategoryColumns = added(
        [],
        "columns of categories with an order: the position of the category, and for all others the next number; give "
        "the order, {COLUMN: [low, high]}, or they are sorted",
    )
    min_count: PositiveInt = added(
        2, "categories of train with fewer records are encoded like unknown ones, and no checkpoint names them"
    )
    date_parts: DateParts = added(
        {},
        "columns of dates and the numbers to take from them: year, month, weekday (Monday is 0), days since 1970, ...",
    )
    separator: Separator = added("|", "multilabel: the text between the labels of a cell")
    label_names: dict[str, Name] = added({}, "other names for labels, such as {'>50K.': '>50K'}")
    unlabelled: Literal["refuse", "drop"] = Field(
        default="refuse", description="rows without a label; windows may still include dropped rows"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        encoded = self.encoded_columns
        if self.image and (self.features or self.ignore or self.text or encoded):
            raise ValueError("'image' excludes 'text', 'ignore' and all keys of features; omit one of them")
        if self.text and self.ignore:
            raise ValueError("'text' excludes 'ignore', because only listed columns are features next to it; omit it")
        both = {*self.label_columns, *self.ignore, *(self.text or [])} & set(encoded)
        if len(set(encoded)) < len(encoded) or both:
            twice = min(both or {column for column in encoded if encoded.count(column) > 1})
            raise ValueError(
                f"column '{twice}' has two uses among one_hot, ordinal, date_parts, text, ignore and label"
            )
        if (self.unreadable != "refuse" or self.suffix) and not self.image:
            raise ValueError("'unreadable' and 'suffix' are only for a column of images; omit them")
        if not self.path.name.lower().endswith(TEXT_ENDINGS) and (keys := TEXT_KEYS & self.model_fields_set):
            raise ValueError(f"'{min(keys)}' is only for csv and other files of text; omit it")
        if self.decimal == self.thousands:
            raise ValueError(f"'decimal' and 'thousands' are both '{self.decimal}'; correct one of them")
        if self.thousands in self.units or self.decimal in self.units:
            raise ValueError("a mark of 'units' is also that of 'decimal' or 'thousands'; correct one of them")
        if isinstance(self.header, list) and len(set(map(str, self.header))) < len(self.header):
            raise ValueError("'header' lists a name twice")
        if isinstance(self.label, list) and (self.unlabelled == "drop" or len(set(self.label)) < len(self.label)):
            raise ValueError("'label' lists a column twice, or 'unlabelled: drop' has a list of labels; correct it")
        return self

    @property
    def has_columns_of_labels(self) -> bool:
        """Whether each class or label has a column."""
        return isinstance(self.label, list)

    @property
    def has_one_label_column(self) -> bool:
        """Whether `label` lists a single column, which is possible only for multilabel records."""
        return isinstance(self.label, list) and len(self.label) == 1

    @property
    def encoded_columns(self) -> list[str]:
        """The columns that are encoded as numbers."""
        return [*list_categories(self.one_hot), *list_categories(self.ordinal), *self.date_parts]

    @property
    def categories(self) -> dict[str, tuple[CategoryKind, tuple[str, ...] | None]]:
        """The columns of categories, each with how it is encoded and its categories (None: those of train)."""
        kinds: tuple[tuple[CategoryKind, CategoryColumns], ...] = (("one_hot", self.one_hot), ("ordinal", self.ordinal))
        return {column: (kind, names) for kind, section in kinds for column, names in list_categories(section).items()}

    @property
    def has_numbers_with_text(self) -> bool:
        """Whether a sample has numbers in front of the numbers of words."""
        return self.text is not None and bool(self.features or self.encoded_columns)

    @property
    def label_columns(self) -> list[str]:
        """The columns of labels."""
        return self.label if isinstance(self.label, list) else [self.label]


class Arrays(PathSection):
    """A file of named arrays with one row per record (npz without pickle, or safetensors)."""

    inputs: str = Field(
        default="x", description="the array of samples; default: x, else the usual names, such as train_images of train"
    )
    labels: str = Field(
        default="y",
        description="the array of labels; default: y, else as for the samples. multilabel: 1 for each label of a "
        "record, else 0, (n, K)",
    )
    ids: str | None = Field(default=None, description="the array of record ids; default: the row's number")


class Idx(Section):
    """MNIST's format, gzipped or plain."""

    images: FilePath = Field(description="file of the images")
    labels: FilePath = Field(description="file of the labels")


class Torchvision(Section):
    """A torchvision dataset that is already on disk; nothing is downloaded."""

    name: Literal["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100"] = Field(description="of the data set")
    root: FilePath = Field(description="folder in which torchvision has stored it")
    part: Literal["train", "test"] = Field(description="its training or its test records")


class Sklearn(ShortSection):
    """A real data set that is bundled with scikit-learn; every fifth row is the test part."""

    name: Literal["digits", "diabetes", "breast_cancer"] = Field(description="of the data set")
    part: Literal["train", "test", "all"] = Field(default="all", description="test: every fifth row; train: the others")


class Condition(Section):
    column: str = Field(description="a column of the data; every source has the column `label`")
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"] = Field(description="how its cells are compared")
    value: Scalar | list[Scalar] = Field(description="number, text or date; for in and not in a list")

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.op in ("in", "not in")) != isinstance(self.value, list):
            raise ValueError("'in' and 'not in' take a list of values; the other operators take one value")
        if self.value == []:
            raise ValueError(f"the list of values of '{self.op}' is empty; name at least one value")
        return self


class Rows(Section):
    """The rows of the source to use, in their order; exactly one of the keys."""

    every: Annotated[PositiveInt, Field(ge=2)] | None = Field(default=None, description="rows 0, n, 2n, ...")
    not_every: Annotated[PositiveInt, Field(ge=2)] | None = Field(
        default=None, description="all rows except 0, n, 2n, ..."
    )
    first: Share | None = Field(default=None, description="this share from the start")
    last: Share | None = Field(default=None, description="this share from the end")
    where: Annotated[list[Condition], Field(min_length=1)] | None = Field(
        default=None, description="rows for which all conditions hold"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("expected exactly one of every, not_every, first, last, where")
        return self

    def cut(self, count: int) -> int:
        """Return the row where `first` ends or `last` begins; it is equal for `first: s` and `last: 1 - s`."""
        share = self.first or 1 - (self.last or 0)
        return round(count * round(share, 12))  # 1 - 0.9 is 0.09999999999999998


class Source(Section):
    """One source of records: exactly one format, and optionally the rows to use."""

    imagefolder: ImageFolder | None = None
    webdataset: Webdataset | None = None
    table: Table | None = None
    npz: Arrays | None = None
    safetensors: Arrays | None = None
    idx: Idx | None = None
    torchvision: Torchvision | None = None
    sklearn: Sklearn | None = None
    rows: Rows | None = None
    dates: dict[str, DateFormat] = Field(
        default_factory=dict, description="formats of columns of dates that are not ISO 8601, such as '%d-%m-%Y %H:%M'"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        formats = self.model_fields_set - BESIDE_FORMATS
        if len(formats) != 1 or self.spec is None:
            expected = ", ".join(name for name in type(self).model_fields if name not in BESIDE_FORMATS)
            raise ValueError(f"names {len(formats)} formats; expected exactly one of {expected}")
        return self

    @property
    def format(self) -> str:
        return min(self.model_fields_set - BESIDE_FORMATS)

    @property
    def spec(self) -> Section | None:
        return getattr(self, self.format)
