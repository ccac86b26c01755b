-- histokin's archive, version 1.
--
-- `histokin archive init URL` runs this file as it stands, in one transaction, and `histokin archive init --print`
-- writes it out, for reading it first or for running it with psql. It touches nothing outside the schema
-- "histokin" but two roles without login, and the extension pgvector if the database does not have it yet.
--
-- Who runs it owns the archive. Readers and writers are made such by
--     GRANT histokin_reader TO some_login;
--     GRANT histokin_writer TO some_other_login;

CREATE EXTENSION IF NOT EXISTS vector;

-- Its types are found wherever it was installed.
SELECT set_config('search_path', quote_ident(n.nspname) || ', pg_catalog', true)
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector';

-- Roles belong to the whole server: another archive may have made them.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'histokin_reader') THEN
        CREATE ROLE histokin_reader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'histokin_writer') THEN
        CREATE ROLE histokin_writer NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- made by someone else at this very moment
END
$$;

CREATE SCHEMA histokin;

-- Which of these files have been run.
CREATE TABLE histokin.migrations (
    version     integer PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text NOT NULL DEFAULT session_user
);

-- All that decides a descriptor besides the slide: descriptors of different rows are never compared.
CREATE TABLE histokin.encoders (
    encoder  smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipe   text NOT NULL UNIQUE,       -- the twelve characters of descriptor files' names
    name     text NOT NULL,              -- for people
    details  json NOT NULL,              -- encoder, tile size, resolution, stain setting
    width    integer NOT NULL CHECK (width > 0),
    storage  text NOT NULL CHECK (storage IN ('vector', 'halfvec')),
    parts    integer NOT NULL CHECK (parts BETWEEN 1 AND 1024),
    CHECK (width <= CASE storage WHEN 'vector' THEN 2000 ELSE 4000 END)  -- the most that pgvector indexes
);

-- Patients by code: what the file name tells, or a keyed hash of that.
CREATE TABLE histokin.patients (
    patient    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code       text NOT NULL UNIQUE,
    pseudonym  boolean NOT NULL
);

CREATE TABLE histokin.slides (
    slide     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slide_id  text NOT NULL UNIQUE,      -- identity by content: survives moving and renaming
    name      text NOT NULL,             -- file name, or a pseudonym
    location  text,                      -- where the file lay when it was pushed; none with a pseudonym
    patient   integer REFERENCES histokin.patients
);
CREATE INDEX ON histokin.slides (patient);

-- Classes of annotations.
CREATE TABLE histokin.classes (
    class  smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text NOT NULL UNIQUE,
    color  integer NOT NULL              -- 0xRRGGBB
);

-- A slide as an encoder describes it. A row appears in the transaction that brings all of its tiles.
CREATE TABLE histokin.descriptions (
    encoder       smallint NOT NULL REFERENCES histokin.encoders,
    slide         integer NOT NULL REFERENCES histokin.slides,
    header        json NOT NULL,         -- what the descriptor file says of itself
    tiles         integer NOT NULL,
    tiles_failed  integer NOT NULL,      -- tissue tiles that could not be read
    checksum      text NOT NULL,         -- SHA-256 of coordinates and descriptors, as the file has it
    content       text NOT NULL,         -- SHA-256 of all that was pushed: the same again is left alone
    pushed_at     timestamptz NOT NULL DEFAULT now(),
    pushed_by     text NOT NULL DEFAULT session_user,
    PRIMARY KEY (encoder, slide)
);
CREATE INDEX ON histokin.descriptions (slide);

-- The tiles. Each encoder has a partition of one of these two, by the type that its descriptors are kept in.
CREATE TABLE histokin.tiles_vector (
    slide       integer NOT NULL,
    x           integer NOT NULL,        -- top-left corner in level-0 pixels
    y           integer NOT NULL,
    encoder     smallint NOT NULL,
    class       smallint,                -- of the annotation in which the tile's centre lies
    descriptor  vector NOT NULL
) PARTITION BY LIST (encoder);

CREATE TABLE histokin.tiles_halfvec (
    slide       integer NOT NULL,
    x           integer NOT NULL,
    y           integer NOT NULL,
    encoder     smallint NOT NULL,
    class       smallint,
    descriptor  halfvec NOT NULL
) PARTITION BY LIST (encoder);

CREATE INDEX ON histokin.tiles_vector (slide);
CREATE INDEX ON histokin.tiles_halfvec (slide);

-- Small pictures of tiles, for slides whose file cannot be reached; only if asked for.
CREATE TABLE histokin.thumbnails (
    encoder  smallint NOT NULL,
    slide    integer NOT NULL,
    x        integer NOT NULL,
    y        integer NOT NULL,
    jpeg     bytea NOT NULL,
    PRIMARY KEY (slide, encoder, y, x)
);

-- What `archive verify` has measured: which share of the truly nearest tiles a search finds.
CREATE TABLE histokin.recalls (
    encoder      smallint NOT NULL REFERENCES histokin.encoders,
    ef_search    integer NOT NULL,       -- candidates that a search of the index keeps in hand
    neighbours   integer NOT NULL,
    queries      integer NOT NULL,
    recall       real NOT NULL CHECK (recall BETWEEN 0 AND 1),
    tiles        bigint NOT NULL,        -- that the archive held
    measured_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (encoder, ef_search)
);

-- Writers may add what needs a table or an index only through the functions below, which run with the rights of
-- the archive's owner and take nothing but the numbers and texts that they store.

-- The schema in which pgvector lives.
CREATE FUNCTION histokin.vector_schema() RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
$$;

-- Make an encoder known, with a partition for its tiles, itself cut into `parts` by slide; an encoder that is
-- known already stays as it is.
CREATE FUNCTION histokin.add_encoder(
    new_recipe text, new_name text, new_details json, new_width integer, new_storage text, new_parts integer
) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id smallint;
    partition text;
BEGIN
    -- One at a time: numbers are handed out in order, and two writers may bring the same encoder.
    LOCK TABLE histokin.encoders IN SHARE ROW EXCLUSIVE MODE;
    SELECT encoder INTO id FROM histokin.encoders WHERE recipe = new_recipe;
    IF FOUND THEN
        RETURN id;
    END IF;
    INSERT INTO histokin.encoders (recipe, name, details, width, storage, parts)
        VALUES (new_recipe, new_name, new_details, new_width, new_storage, new_parts)
        RETURNING encoder INTO id;
    partition := 'tiles_' || id;
    EXECUTE format(
        'CREATE TABLE histokin.%I PARTITION OF histokin.%I FOR VALUES IN (%s)%s',
        partition, 'tiles_' || new_storage, id,
        CASE WHEN new_parts > 1 THEN ' PARTITION BY HASH (slide)' ELSE '' END
    );
    IF new_parts > 1 THEN
        FOR part IN 0 .. new_parts - 1 LOOP
            EXECUTE format(
                'CREATE TABLE histokin.%I PARTITION OF histokin.%I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
                partition || '_' || part, partition, new_parts, part
            );
        END LOOP;
    END IF;
    PERFORM histokin.keep_in_row(id);
    EXECUTE format('GRANT SELECT ON histokin.%I TO histokin_reader, histokin_writer', partition);
    RETURN id;
END
$$;

-- Descriptors that fit a page stay in their row: re-ranking reads them, and would have to fetch them from aside.
CREATE FUNCTION histokin.keep_in_row(id smallint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf regclass;
BEGIN
    IF (SELECT width * CASE storage WHEN 'vector' THEN 4 ELSE 2 END FROM histokin.encoders WHERE encoder = id) > 7800 THEN
        RETURN;
    END IF;
    FOR leaf IN SELECT relid FROM pg_partition_tree(('histokin.tiles_' || id)::regclass) WHERE isleaf LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN descriptor SET STORAGE PLAIN', leaf);
    END LOOP;
END
$$;

-- Build the approximate index (HNSW, Euclidean distance) of an encoder's tiles. Reading goes on meanwhile, pushing
-- waits.
CREATE FUNCTION histokin.build_index(id smallint, m integer, ef_construction integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known histokin.encoders;
    home name := histokin.vector_schema();
BEGIN
    SELECT * INTO STRICT known FROM histokin.encoders WHERE encoder = id;
    IF to_regclass('histokin.' || quote_ident('nearest_' || id)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE INDEX %I ON histokin.%I USING hnsw ((descriptor::%I.%I(%s)) %I.%I) WITH (m = %s, ef_construction = %s)',
        'nearest_' || id, 'tiles_' || id, home, known.storage, known.width, home, known.storage || '_l2_ops',
        m, ef_construction
    );
    DELETE FROM histokin.recalls WHERE encoder = id;
END
$$;

CREATE FUNCTION histokin.drop_index(id smallint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DROP INDEX IF EXISTS histokin.%I', 'nearest_' || id);
    DELETE FROM histokin.recalls WHERE encoder = id;
END
$$;

-- Rights: nobody but the two roles, and these only what they need.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA histokin FROM PUBLIC;
GRANT USAGE ON SCHEMA histokin TO histokin_reader, histokin_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA histokin TO histokin_reader, histokin_writer;
GRANT EXECUTE ON FUNCTION histokin.vector_schema() TO histokin_reader, histokin_writer;
GRANT INSERT, UPDATE, DELETE ON
    histokin.patients, histokin.slides, histokin.classes, histokin.descriptions, histokin.tiles_vector,
    histokin.tiles_halfvec, histokin.thumbnails, histokin.recalls
    TO histokin_writer;
GRANT EXECUTE ON FUNCTION
    histokin.add_encoder(text, text, json, integer, text, integer), histokin.build_index(smallint, integer, integer),
    histokin.drop_index(smallint)
    TO histokin_writer;
