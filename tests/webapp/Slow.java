import java.io.IOException;
import java.io.ObjectOutputStream;
import java.io.Serializable;

/** Takes its time to be serialized. */
final class Slow implements Serializable {
    private static final long serialVersionUID = 1;
    private final int ms;

    Slow(int ms) {
        this.ms = ms;
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        out.defaultWriteObject();
        // What comes before it is in the file already, half a session.
        out.flush();
        Common.sleep(ms);
    }
}
