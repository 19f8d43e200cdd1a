import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;

/** Can't be written, or can't be read back: a class that the other server does not have. */
final class Broken implements Serializable {
    private static final long serialVersionUID = 1;
    private final boolean write;

    Broken(boolean write) {
        this.write = write;
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        if (write) {
            throw new IOException("this attribute cannot be written");
        }
        out.defaultWriteObject();
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        throw new ClassNotFoundException("this attribute cannot be read");
    }
}
