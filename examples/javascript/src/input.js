// What a guest sends: a form or JSON, with every kind of bad input named.

const LONGEST_BODY = 16 * 1024;

/** What is wrong with it, and the status that says so. */
export class BadInput extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The entry in the body of a request, and whether it comes from a browser's form. */
export async function readEntry(request) {
  const body = await readBody(request);
  const mediaType = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  switch (mediaType) {
    case "application/x-www-form-urlencoded":
      return { entry: checked(fromForm(body)), isForm: true };
    case "application/json":
      return { entry: checked(fromJson(body)), isForm: false };
    default:
      throw new BadInput(
        415,
        `the content type is ${JSON.stringify(mediaType)}: send application/json or application/x-www-form-urlencoded`,
      );
  }
}

async function readBody(request) {
  const tooLong = () => new BadInput(413, `the body is too long: send at most ${LONGEST_BODY} bytes`);
  if (Number(request.headers.get("content-length")) > LONGEST_BODY) {
    throw tooLong();
  }
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > LONGEST_BODY) {
    throw tooLong();
  }
  return bytes;
}

function fromForm(body) {
  const form = new URLSearchParams(new TextDecoder().decode(body));
  return { name: form.get("name") ?? "", message: form.get("message") ?? "" };
}

function fromJson(body) {
  const expected = 'the body is not {"name": "...", "message": "..."}';
  let fields;
  try {
    fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    throw new BadInput(400, `${expected}: ${error.message}`);
  }
  for (const field of ["name", "message"]) {
    if (fields?.[field] === undefined) {
      throw new BadInput(400, `${expected}: missing field \`${field}\``);
    }
    if (typeof fields[field] !== "string") {
      throw new BadInput(400, `${expected}: \`${field}\` is not a string`);
    }
  }
  return fields;
}

function checked({ name, message }) {
  return { name: checkedText("name", name, 80), message: checkedText("message", message, 1000) };
}

// A text that the schema takes. Postgres has no place for a NUL in one.
function checkedText(field, value, longest) {
  // A browser counts a line break as one character, and sends two.
  const trimmed = value.trim().replaceAll("\r\n", "\n");
  const length = [...trimmed].length;
  // JSON can have half a character, such as "\ud800", which no database takes.
  if (length < 1 || length > longest || trimmed.includes("\0") || !trimmed.isWellFormed()) {
    throw new BadInput(400, `\`${field}\` must have 1 to ${longest} characters, and no NUL`);
  }
  return trimmed;
}
